//! What location-scale laws have in common: a draw is loc + scale · t for a standard number t.

/// Defines a law of `loc` and `scale` by its standard member, in `t`: its log-density, draw, mean, and the
/// mean and standard deviation of the Gaussian that its automatic guide starts from.
macro_rules! location_scale {
    (
        $(#[$doc:meta])* $name:ident,
        symmetric: $symmetric:expr,
        log_density: |$t:ident| $density:expr,
        standard: |$stream:ident| $draw:expr,
        mean: $mean:expr,
        guide: ($guide_loc:expr, $guide_scale:expr)
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<P> {
            loc: P,
            scale: P,
        }

        impl<R: Real> $name<R> {
            /// Numbers with this location and scale; a number beside a tensor is broadcast.
            ///
            /// # Errors
            /// If `loc` is not finite, `scale` is not positive and finite, or their shapes do not
            /// broadcast.
            pub fn new<A: Operand, B: Operand>(loc: A, scale: B) -> Result<Self>
            where
                A::Repr: Join<B::Repr, Joined = R>,
            {
                let (loc, scale) = loc.into_repr().join(scale.into_repr());
                Self { loc, scale }.checked()
            }
        }

        impl<R> $name<R> {
            /// Location and scale.
            pub(super) fn into_parts(self) -> (R, R) {
                (self.loc, self.scale)
            }
        }

        impl<R: Real> Continuous for $name<R> {
            type Real = R;
            type Tensors = $name<Tensor>;
            const NAME: &'static str = stringify!($name);
            const SUPPORT: Support = Support::Real;
            const PARAMETERS: &'static [(&'static str, Support)] =
                &[("loc", Support::Real), ("scale", Support::Positive)];
            const STANDARDS: &'static [Standard] = &[|$stream| $draw];
            const SYMMETRIC: bool = $symmetric;

            parameters!(loc, scale);

            fn log_density(&self, x: &R) -> R {
                let $t = (x.clone() - self.loc.clone()) / self.scale.clone();
                let density: R = $density;
                density - self.scale.ln()
            }

            fn draw(&self, standards: &[R]) -> R {
                self.loc.clone() + self.scale.clone() * standards[0].clone()
            }

            fn mean(&self) -> R {
                self.loc.clone() + self.scale.clone() * $mean
            }

            fn mean_field(of: &$name<Tensor>) -> MeanField<'static> {
                let loc = &of.loc + &of.scale * ($guide_loc as f32);
                normal_guide(&loc, &(&of.scale * ($guide_scale as f32)), loc.shape())
            }
        }
    };
}

pub(super) use location_scale;
