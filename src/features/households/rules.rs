use super::wire::{HouseholdSent, HouseholdView};
use crate::platform::location::{Location, coarse};

/// Whether what is stored is what was sent.
pub fn is_same(stored: &HouseholdView, sent: &HouseholdSent) -> bool {
    stored.booth_id == sent.booth_id
        && stored.label == sent.label
        && stored.electors == sent.electors
        && stored.location == sent.location
}

/// The household as seen from above the mandal.
pub fn from_afar(mut household: HouseholdView) -> HouseholdView {
    household.location = household.location.map(blur);
    household
}

/// A place as seen from there.
pub fn blur(at: Location) -> Location {
    Location {
        lat: coarse(at.lat),
        lon: coarse(at.lon),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn from_afar_a_place_is_off_by_less_than_a_hundred_metres_and_no_finer(degrees in -180.0..=180.0_f64) {
            let rounded = coarse(degrees);
            proptest::prop_assert!((rounded - degrees).abs() <= 0.000_500_1);
            let decimals = rounded.to_string().split('.').nth(1).map_or(0, str::len);
            proptest::prop_assert!(decimals <= 3, "{} has {} decimals", rounded, decimals);
        }
    }
}
