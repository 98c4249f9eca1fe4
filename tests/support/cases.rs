//! How many random cases a fuzzer tries.

use std::env;

use proptest::prelude::ProptestConfig;

/// `few` cases, or as many as are asked for; a failure is printed, and no file is left.
pub fn config(few: u32) -> ProptestConfig {
    let asked = env::var("RELAX_FUZZ_CASES").ok();
    let number = |asked: String| asked.parse().expect("RELAX_FUZZ_CASES is a number");
    ProptestConfig {
        cases: asked.map_or(few, number),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
