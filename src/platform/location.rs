//! A point on the map, as it goes over the wire.

use serde::{Deserialize, Serialize};

use super::validate::FieldErrors;

/// Where something is (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    #[schema(example = 26.8467, minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east.
    #[schema(example = 80.9462, minimum = -180, maximum = 180)]
    pub lon: f64,
}

/// To three decimals: about 100 m.
#[must_use]
pub fn coarse(degrees: f64) -> f64 {
    (degrees * 1000.0).round() / 1000.0
}

impl Location {
    /// From two columns that are null together.
    #[must_use]
    pub fn from_columns(lat: Option<f64>, lon: Option<f64>) -> Option<Self> {
        lat.zip(lon).map(|(lat, lon)| Self { lat, lon })
    }

    /// Checks the bounds; `pointer` is where the location stands in the body.
    pub fn check(&self, pointer: &str, errors: &mut FieldErrors) {
        errors.range(&format!("{pointer}/lat"), self.lat, -90.0, 90.0);
        errors.range(&format!("{pointer}/lon"), self.lon, -180.0, 180.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_are_checked_at_once() {
        let mut errors = FieldErrors::default();
        Location {
            lat: 90.1,
            lon: f64::NAN,
        }
        .check("/location", &mut errors);
        let pointers: Vec<_> = errors.0.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/location/lat", "/location/lon"]);
    }
}
