//! From dense lexical vectors to their sparse forms, on the host.

/// The `k` largest dimensions of a vector, ascending; ties go to the lower dimension.
pub fn largest_dims(values: &[f32], k: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let by_value = |a: &u32, b: &u32| values[*b as usize].total_cmp(&values[*a as usize]).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k, by_value);
        order.truncate(k);
    }
    order.sort_unstable();
    order
}

/// The dimensions of S+ : the `k` largest ones and those of `own`, ascending (method, section 2).
pub fn lexical_forms(values: &[f32], k: usize, own: &[u32]) -> Vec<u32> {
    let mut dims = largest_dims(values, k);
    dims.extend_from_slice(own);
    dims.sort_unstable();
    dims.dedup();
    dims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_dimension() {
        assert_eq!(largest_dims(&[1.0, 3.0, 3.0, 3.0, 0.5], 2), vec![1, 2]);
        assert_eq!(largest_dims(&[1.0, 2.0], 5), vec![0, 1]);
        assert_eq!(largest_dims(&[1.0, 2.0], 0), Vec::<u32>::new());
    }

    #[test]
    fn own_tokens_come_beside_the_largest() {
        assert_eq!(lexical_forms(&[0.1, 5.0, 0.2, 4.0], 2, &[0, 1]), vec![0, 1, 3]);
    }
}
