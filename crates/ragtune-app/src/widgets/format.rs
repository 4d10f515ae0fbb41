//! Numbers as people read them.

pub use ragtune_engine::figures::{bytes, count};

/// 3 min 20 s
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0 => format!("{:.0} ms", seconds * 1000.0),
        1..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// 59.3 %, of a share in 0..=1; a dash for a figure that was not computed.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// A probability from its natural logarithm, with as many digits as say something.
pub fn log_probability(log_prob: f32) -> String {
    let p = f64::from(log_prob).exp();
    match p {
        p if p >= 0.1 => format!("{:.0} %", p * 100.0),
        p if p >= 0.001 => format!("{:.2} %", p * 100.0),
        _ => format!("e^{log_prob:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_read_as_people_write_them() {
        assert_eq!([duration(0.25), duration(200.0), duration(7300.0)], ["250 ms", "3 min 20 s", "2 h 1 min"]);
        assert_eq!([percent(Some(0.593)), percent(None)], ["59.3 %", "-"]);
        assert_eq!([log_probability(-0.1), log_probability(-5.0), log_probability(-20.0)], ["90 %", "0.67 %", "e^-20"]);
    }
}
