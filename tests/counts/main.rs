//! Laws of counts in programs: that every one is unbiased wherever it may stand, which estimator it gets and
//! why, what RELAX saves, and that automatic guides find posteriors.

mod estimates;
mod multinomial;
mod posteriors;
mod programs;
mod variances;
