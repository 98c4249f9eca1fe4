//! Operands that are empty.

use relax_runtime::{Device, Result, Shape, Tensor, grad};

fn zeros(shape: impl Into<Shape>) -> Tensor {
    Tensor::zeros(shape, &Device::cpu())
}

#[test]
fn a_softmax_beside_an_empty_axis_is_empty() -> Result<()> {
    for (axis, kept) in [(0, [0].as_slice()), (-2, &[0])] {
        let x = zeros([3, 0]).leaf();
        assert_eq!(x.logsumexp(axis).check()?.shape()[..], *kept);
        assert_eq!(x.softmax(axis).check()?.shape()[..], [3, 0]);
        let y = x.log_softmax(axis);
        assert_eq!(y.check()?.shape()[..], [3, 0]);
        assert_eq!(grad(&[(&y, None)], &[&x])?[0].shape()[..], [3, 0]);
    }
    Ok(())
}
