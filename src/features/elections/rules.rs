//! Places, and what a file of results says.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::platform::csv::{CellError, Row};

/// The columns of a file of results; all must be there.
pub const COLUMNS: [&str; 5] = ["election", "constituency", "candidate", "party", "votes"];
/// Most candidates of a seat: the largest ballot so far had 1,033 (Modakurichi, 1996).
pub const MAX_CANDIDATES: usize = 2000;
/// Most votes that a candidate can get.
const MAX_VOTES: i32 = 100_000_000;

/// A party's name as it is compared: lower case, one space between words.
#[must_use]
pub fn party_key(name: &str) -> String {
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Whether a "party" is the line for none of the candidates.
#[must_use]
pub fn is_nota(key: &str) -> bool {
    key == "nota" || key == "none of the above"
}

/// A candidate's line, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub candidate: String,
    pub party: String,
    pub votes: i32,
}

/// The lines of each seat by election and the seat's code, each with the line of the file on which it starts.
pub type Seats = BTreeMap<(String, String), Vec<(u64, Line)>>;

/// Understands the rows; what cannot be goes to `errors`.
pub fn read_rows(rows: Vec<Row>, errors: &mut Vec<CellError>) -> Seats {
    let mut seats = Seats::new();
    for row in rows {
        let number = row.line;
        if let Some((key, line)) = read_row(row, errors) {
            seats.entry(key).or_default().push((number, line));
        }
    }
    for lines in seats.values() {
        if let Some((number, _)) = lines.get(MAX_CANDIDATES) {
            let reason = format!("a seat has at most {MAX_CANDIDATES} candidates");
            errors.push(CellError::new(
                *number,
                "constituency",
                "too_many_candidates",
                reason,
            ));
        }
    }
    seats
}

fn read_row(row: Row, errors: &mut Vec<CellError>) -> Option<((String, String), Line)> {
    let number = row.line;
    let [election, constituency, candidate, party, votes]: [String; 5] = row.cells.try_into().ok()?;
    let before = errors.len();
    for (column, text, most) in [
        ("election", &election, 40),
        ("constituency", &constituency, 40),
        ("candidate", &candidate, 200),
        ("party", &party, 200),
    ] {
        let length = text.chars().count();
        if length == 0 || length > most || text.chars().any(char::is_control) {
            let reason = format!("must have 1 to {most} characters, none of them a control character");
            errors.push(CellError::new(number, column, "bad_text", reason));
        }
    }
    let votes = votes
        .parse::<i32>()
        .ok()
        .filter(|votes| (0..=MAX_VOTES).contains(votes));
    if votes.is_none() {
        let reason = format!("must be a whole number from 0 to {MAX_VOTES}, without separators");
        errors.push(CellError::new(number, "votes", "bad_number", reason));
    }
    let votes = votes.filter(|_| errors.len() == before)?;
    let line = Line {
        candidate,
        party,
        votes,
    };
    Some(((election, constituency), line))
}

/// The place of each line: most votes first, equal votes in the order of the file; NOTA has none.
#[must_use]
pub fn places<'a, L: Borrow<Line> + 'a>(lines: impl IntoIterator<Item = &'a L>) -> Vec<Option<i16>> {
    let lines = lines.into_iter().map(Borrow::borrow);
    let mut standing: Vec<(Reverse<i32>, usize)> = Vec::new();
    let mut places = Vec::new();
    for (at, line) in lines.enumerate() {
        places.push(None);
        if !is_nota(&party_key(&line.party)) {
            standing.push((Reverse(line.votes), at));
        }
    }
    standing.sort_unstable();
    for ((_, at), place) in standing.into_iter().zip(1_i16..) {
        if let Some(slot) = places.get_mut(at) {
            *slot = Some(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(party: &str, votes: i32) -> Line {
        Line {
            candidate: "X".to_owned(),
            party: party.to_owned(),
            votes,
        }
    }

    #[test]
    fn a_name_is_compared_without_case_and_spaces() {
        assert_eq!(
            party_key("  Bharatiya   JANATA\tParty "),
            "bharatiya janata party"
        );
        assert!(is_nota(&party_key("None of  the Above")));
    }

    #[test]
    fn places_follow_the_votes_and_nota_has_none() {
        let lines = [line("A", 5), line("NOTA", 100), line("B", 9), line("C", 5)];
        assert_eq!(places(&lines), [Some(2), None, Some(1), Some(3)]);
    }

    #[test]
    fn bad_cells_are_all_named() {
        let row = Row {
            line: 2,
            cells: ["", "S1-PC1", "A", "B", "1,000"].map(str::to_owned).to_vec(),
        };
        let mut errors = Vec::new();
        assert!(read_rows(vec![row], &mut errors).is_empty());
        let columns: Vec<&str> = errors.iter().map(|error| error.column.as_str()).collect();
        assert_eq!(columns, ["election", "votes"]);
    }

    proptest::proptest! {
        #[test]
        fn places_are_one_to_n_and_never_rise_with_fewer_votes(votes in proptest::collection::vec(0..50i32, 0..40)) {
            let lines: Vec<Line> = votes.iter().map(|votes| line("A", *votes)).collect();
            let mut placed: Vec<(i16, i32)> = places(&lines).into_iter().flatten().zip(votes.iter().copied()).collect();
            placed.sort_unstable();
            proptest::prop_assert!(placed.iter().enumerate().all(|(n, (place, _))| usize::try_from(*place) == Ok(n + 1)));
            proptest::prop_assert!(placed.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        }
    }
}
