//! The places that requests under way take, and who goes first when there are too few.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::Method;

/// What a request is for. When there is too little for all, what was collected in the field comes first, and who
/// collects it; reports and exports can be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What phones send, and what they need to send it: sign-in, sync, visits, households, contacts, checks, reports.
    Field,
    /// Any other request.
    Desk,
    /// Exports, imports, figures of many units, recounts.
    Heavy,
    /// Waits for news. Counted apart, so that it takes no place from the others, nor they from it.
    Waiting,
}

impl Kind {
    /// The kind of a request with this method and path.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        const SENT: [&str; 5] = [
            "/v1/visits",
            "/v1/households",
            "/v1/contacts",
            "/v1/back-checks",
            "/v1/task-reports",
        ];
        if path.starts_with("/v1/feed") {
            Self::Waiting
        } else if takes_its_time(path) || path.ends_with("/children") || path.ends_with("-indicators") {
            Self::Heavy
        } else if path.starts_with("/v1/auth/")
            || path == "/v1/sync"
            || (method != Method::GET && SENT.iter().any(|root| path.starts_with(root)))
        {
            Self::Field
        } else {
            Self::Desk
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Desk => "desk",
            Self::Heavy => "heavy",
            Self::Waiting => "waiting",
        }
    }
}

/// Imports, exports, recounts and the search through a year of readings: bounded by the database's waits alone.
#[must_use]
pub fn takes_its_time(path: &str) -> bool {
    path.starts_with("/v1/imports/")
        || path.ends_with("/export")
        || path.contains("/totals/")
        || path == "/v1/contact-reads"
}

/// Whether it brings visits to the recorder.
#[must_use]
pub fn is_recording(method: &Method, path: &str) -> bool {
    method == Method::POST && (path == "/v1/visits" || path == "/v1/visits/batch")
}

/// Requests under way in this process.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    all: Arc<AtomicUsize>,
    /// Of them those that are not from the field.
    lesser: Arc<AtomicUsize>,
    heavy: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

/// Counts a request for as long as it lives.
#[derive(Debug)]
pub struct Place(Vec<Arc<AtomicUsize>>);

impl InFlight {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// A place, if there is one: of `most`, three quarters may be taken by what is not from the field, an eighth by what
    /// is heavy.
    #[must_use]
    pub fn enter(&self, kind: Kind, most: usize) -> Option<Place> {
        let lesser = (&self.lesser, most.saturating_sub(most / 4));
        let counters = match kind {
            Kind::Field => vec![(&self.all, most)],
            Kind::Desk => vec![(&self.all, most), lesser],
            Kind::Heavy => vec![(&self.all, most), lesser, (&self.heavy, (most / 8).max(1))],
            Kind::Waiting => vec![(&self.waiting, most)],
        };
        let mut place = Place(Vec::with_capacity(counters.len()));
        for (counter, most) in counters {
            place.0.push(counter.clone());
            if counter.fetch_add(1, Ordering::Relaxed) >= most {
                return None;
            }
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for counter in &self.0 {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_phones_send_keeps_a_quarter_of_the_places_for_itself() {
        let in_flight = InFlight::default();
        let mut held = Vec::new();
        let mut fill = |kind: Kind| {
            let before = held.len();
            while let Some(place) = in_flight.enter(kind, 16) {
                held.push(place);
            }
            held.len() - before
        };
        assert_eq!(fill(Kind::Heavy), 2);
        assert_eq!(fill(Kind::Desk), 10);
        assert_eq!(fill(Kind::Heavy), 0);
        assert_eq!(fill(Kind::Field), 4);
        assert_eq!(fill(Kind::Waiting), 16);
        drop(held);
        assert_eq!(in_flight.count(), 0);
        assert!(in_flight.enter(Kind::Heavy, 1).is_some(), "one is always let in");
    }

    #[test]
    fn a_request_is_known_by_method_and_path() {
        for (method, path, kind) in [
            (Method::POST, "/v1/visits/batch", Kind::Field),
            (Method::PATCH, "/v1/visits/x", Kind::Field),
            (Method::GET, "/v1/visits/x", Kind::Desk),
            (Method::POST, "/v1/back-checks", Kind::Field),
            (Method::GET, "/v1/visits/export", Kind::Heavy),
            (Method::GET, "/v1/units/2/audited-totals/children", Kind::Heavy),
            (Method::GET, "/v1/units/2/worker-indicators", Kind::Heavy),
            (Method::POST, "/v1/sync", Kind::Field),
            (Method::POST, "/v1/auth/token", Kind::Field),
            (Method::GET, "/v1/units/2/totals", Kind::Desk),
            (Method::GET, "/v1/units/2/totals/children", Kind::Heavy),
            (Method::POST, "/v1/imports/units", Kind::Heavy),
            (Method::GET, "/v1/feed/stream", Kind::Waiting),
        ] {
            assert_eq!(Kind::of(&method, path), kind, "{method} {path}");
        }
    }
}
