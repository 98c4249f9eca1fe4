//! Tests of one text on every engine.

/// Makes each function of a device a test on every engine: on this project's own in the module
/// `native`, on dfdx in the module `dfdx`.
macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        mod native {
            $(
                #[test]
                fn $test() -> relax_runtime::Result<()> {
                    super::$test(&relax_runtime::Device::cpu())
                }
            )*
        }

        #[cfg(feature = "dfdx")]
        mod dfdx {
            $(
                #[test]
                fn $test() -> relax_runtime::Result<()> {
                    super::$test(&relax_runtime::Device::dfdx())
                }
            )*
        }
    };
}
