//! Laws of counts in programs: each is unbiased wherever it is used, which estimator it gets and why, what RELAX saves,
//! and automatic guides find posteriors.

mod estimates;
mod gaps;
mod multinomial;
mod posteriors;
mod programs;
mod variances;
