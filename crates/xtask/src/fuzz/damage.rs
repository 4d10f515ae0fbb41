//! Changes of files: of their bytes, and of what they mean.

use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

/// Longest header of a safetensors file that is taken apart.
const HEADER: usize = 1 << 20;
/// Numbers at which something tends to end.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 7, 255, 65_535, 1 << 31, u32::MAX as u64, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX];

/// Changes a file in one place; `other` is the same file of another model.
pub(super) fn damage(name: &str, bytes: &mut Vec<u8>, other: &[u8], rng: &mut impl Rng) {
    let means_something = rng.random_bool(0.6);
    if means_something
        && name.ends_with(".json")
        && let Ok(mut json) = serde_json::from_slice(bytes)
    {
        change(&mut json, rng);
        *bytes = serde_json::to_vec(&json).unwrap_or_default();
        return;
    }
    if means_something && name.ends_with(".safetensors") && change_header(bytes, rng).is_some() {
        return;
    }
    change_bytes(bytes, other, rng);
}

/// Changes the header of a safetensors file; mostly its length says so.
fn change_header(bytes: &mut Vec<u8>, rng: &mut impl Rng) -> Option<()> {
    let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
    let header = bytes.get(8..8usize.checked_add(length.min(HEADER))?)?;
    let mut json = serde_json::from_slice(header).ok()?;
    change(&mut json, rng);
    let header = serde_json::to_vec(&json).ok()?;
    let said = if rng.random_bool(0.9) { header.len() as u64 } else { number(rng) };
    let rest = bytes.split_off(8 + length);
    *bytes = said.to_le_bytes().into_iter().chain(header).chain(rest).collect();
    Some(())
}

fn number(rng: &mut impl Rng) -> u64 {
    NUMBERS[rng.random_range(0..NUMBERS.len())]
}

fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut impl Rng) {
    if bytes.is_empty() {
        bytes.extend(other);
        return;
    }
    // Mostly near the beginning, where files say what they are.
    let within = if rng.random_bool(0.7) { bytes.len().min(4096) } else { bytes.len() };
    let at = rng.random_range(0..within);
    let length = rng.random_range(1..=64usize.min(bytes.len() - at));
    match rng.random_range(0..8) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        2 => {
            let number = number(rng).to_le_bytes();
            let width = [1, 2, 4, 8][rng.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + length)),
        5 => {
            let piece = bytes[at..at + length].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => bytes[at..at + length].fill_with(|| rng.random()),
        _ if other.len() > length => {
            let from = rng.random_range(0..other.len() - length);
            bytes.splice(at..at + length, other[from..from + length].iter().copied());
        }
        _ => bytes.clear(),
    }
}

/// Changes one place of a document.
fn change(value: &mut Value, rng: &mut impl Rng) {
    // Down to a place, more often deep than not.
    if rng.random_bool(0.85) {
        match value {
            Value::Object(map) if !map.is_empty() => return change_map(map, rng),
            Value::Array(list) if !list.is_empty() => {
                let at = rng.random_range(0..list.len());
                match rng.random_range(0..10) {
                    0 => drop(list.remove(at)),
                    1 => list.insert(at, list[at].clone()),
                    2 => list.truncate(at),
                    _ => change(&mut list[at], rng),
                }
                return;
            }
            _ => {}
        }
    }
    *value = other_value(value, rng);
}

fn change_map(map: &mut Map<String, Value>, rng: &mut impl Rng) {
    let at = rng.random_range(0..map.len());
    let Some(key) = map.keys().nth(at).cloned() else { return };
    match rng.random_range(0..10) {
        0 => drop(map.remove(&key)),
        1 => {
            let value = map.remove(&key).unwrap_or_default();
            map.insert(format!("{key}x"), value);
        }
        2 => {
            let from = map.values().nth(rng.random_range(0..map.len())).cloned().unwrap_or_default();
            map.insert(key, from);
        }
        _ => {
            if let Some(value) = map.get_mut(&key) {
                change(value, rng);
            }
        }
    }
}

fn other_value(value: &Value, rng: &mut impl Rng) -> Value {
    match rng.random_range(0..12) {
        0 => Value::Null,
        1 => json!(-1),
        2 => json!(number(rng)),
        3 => json!(1e308),
        4 => json!(rng.random_range(-2.0..2.0)),
        5 => json!(""),
        6 => json!("\u{feff}../x"),
        7 => json!([]),
        8 => json!({}),
        9 => json!(true),
        10 => json!([value, value]),
        _ => match value {
            Value::Number(n) => json!(n.as_i64().map_or(0, |n| n.wrapping_add(rng.random_range(-3..=3)))),
            Value::String(text) => json!(text.chars().rev().collect::<String>()),
            other => json!({ "x": other }),
        },
    }
}
