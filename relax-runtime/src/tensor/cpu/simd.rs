//! Loops for the widest vectors that the machine has, chosen at run time.
//!
//! The numbers are the same everywhere: the compiler never fuses a product and a sum by itself, and
//! sums run in lanes of a fixed number.

/// Defines functions whose bodies are compiled for AVX-512, for AVX2 and for the plain target. What
/// a body calls becomes part of its loops only where it is `#[inline(always)]`, or small.
macro_rules! vectorised {
    ($(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident $([$($generics:tt)*])? (
            $($arg:ident: $type:ty),* $(,)?
        ) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$doc])*
        $vis fn $name $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512 $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                match $crate::tensor::cpu::simd::width() {
                    // SAFETY: the machine has the features that the function requires.
                    $crate::tensor::cpu::simd::Width::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::tensor::cpu::simd::Width::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::tensor::cpu::simd::Width::Plain => {}
                }
            }
            plain($($arg),*)
        }
    )*};
}

/// What the machine can run.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Avx512,
    Avx2,
    Plain,
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn width() -> Width {
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match avx512 {
        true => Width::Avx512,
        false if is_x86_feature_detected!("avx2") => Width::Avx2,
        false => Width::Plain,
    }
}
