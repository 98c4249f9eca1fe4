//! Names of sites without the indices of their loops.

/// `step/h` for `step[0]/h[1]`; other brackets are part of the name.
pub(in crate::infer) fn without_indices(name: &str) -> String {
    let mut stem = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        stem.push_str(before);
        let index = after.split_once(']').filter(|(index, _)| {
            !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit() || b == b',')
        });
        rest = match index {
            Some((_, after)) => after,
            None => {
                stem.push('[');
                after
            }
        };
    }
    stem + rest
}

#[cfg(test)]
mod tests {
    use super::without_indices;

    #[test]
    fn only_indices_are_left_out() {
        for (name, stem) in [
            ("step[0]/h[12]", "step/h"),
            ("h[1,2]", "h"),
            ("a]b", "a]b"),
            ("a[b]", "a[b]"),
            ("a[b[3]", "a[b"),
            ("x[]", "x[]"),
            ("x[1", "x[1"),
        ] {
            assert_eq!(without_indices(name), stem);
        }
    }
}
