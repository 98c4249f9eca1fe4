use relax_runtime::dist::Normal;
use relax_runtime::prelude::*;

#[allow(non_snake_case)]
fn Normals(scale: f64) -> Result<Normal<f64>> {
    Normal::new(0.0, scale)
}

#[model]
fn wide() {
    let x = sample!(Normals(10.0));
    let y = sample!(self::Normals(10.0));
}

fn main() {}
