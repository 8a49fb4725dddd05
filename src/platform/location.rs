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

    /// The distance to another point in metres: the haversine formula on a sphere of the Earth's mean radius, whose error
    /// against the ellipsoid is below 0.6 % (R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68, 1984).
    #[must_use]
    pub fn metres_to(self, other: Self) -> f64 {
        const MEAN_RADIUS: f64 = 6_371_008.8;
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = ((b - a) / 2.0).sin();
        let half_lon = ((other.lon - self.lon).to_radians() / 2.0).sin();
        let h = half_lat * half_lat + a.cos() * b.cos() * half_lon * half_lon;
        2.0 * MEAN_RADIUS * h.clamp(0.0, 1.0).sqrt().asin()
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
    fn a_degree_of_latitude_is_111_km_and_lucknow_lies_417_km_from_delhi() {
        let at = |lat, lon| Location { lat, lon };
        assert!((at(26.0, 80.0).metres_to(at(27.0, 80.0)) - 111_195.0).abs() < 1.0);
        let delhi = at(28.6139, 77.2090);
        assert!((at(26.8467, 80.9462).metres_to(delhi) / 1000.0 - 417.0).abs() < 2.0);
        assert!(delhi.metres_to(delhi) < 1e-6);
    }

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
