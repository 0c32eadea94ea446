//! Functions of the library that belong to no type: `bucket`, `distance`.

use rhai::{Dynamic, EvalAltResult, FuncRegistration, ImmutableString, Module};

use crate::calls::{Key, type_error};
use crate::hash::Stable;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// Mean radius of the earth.
const EARTH_KM: f64 = 6371.0088;

pub fn register(module: &mut Module) {
    FuncRegistration::new("bucket").set_into_module(module, bucket);
    FuncRegistration::new("distance").set_into_module(module, distance);
}

/// Which of `count` groups a text belongs to, the same everywhere and for ever.
fn bucket(text: ImmutableString, count: i64) -> Outcome<i64> {
    if count < 1 {
        return Err(type_error(format!("bucket needs 1 or more buckets, not {count}")));
    }
    Ok((Stable::new().with(text.as_bytes()).finish() % count as u64) as i64)
}

/// Kilometres along the great circle (haversine).
fn distance(
    latitude: Dynamic,
    longitude: Dynamic,
    to_latitude: Dynamic,
    to_longitude: Dynamic,
) -> Outcome<f64> {
    let (from, to) = (radians(&latitude)?, radians(&to_latitude)?);
    let across = radians(&to_longitude)? - radians(&longitude)?;
    let chord = ((to - from) / 2.0).sin().powi(2) + from.cos() * to.cos() * (across / 2.0).sin().powi(2);
    Ok(2.0 * EARTH_KM * chord.sqrt().min(1.0).asin())
}

fn radians(degrees: &Dynamic) -> Outcome<f64> {
    Key::as_number(degrees).map(f64::to_radians).ok_or_else(|| {
        type_error(format!(
            "distance takes four numbers, not {}",
            degrees.type_name()
        ))
    })
}
