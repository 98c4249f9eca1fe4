//! Every error of the macros: at the user's token, saying what to write instead.

#[test]
fn errors() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
