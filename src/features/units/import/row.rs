//! One row of a file: what can be said of it by itself.

use chrono::{Datelike, NaiveDate};

use super::super::rules::{Level, is_code};
use super::super::wire::MAX_COUNT;
use crate::platform::csv::{CellError, Row};

/// The columns of a file of units.
pub const COLUMNS: [&str; 11] = [
    "code",
    "level",
    "name",
    "name_local",
    "organisation_parent",
    "electorate_parent",
    "electors",
    "doors",
    "lat",
    "lon",
    "valid_from",
];
/// Those that must be there.
pub const REQUIRED: [&str; 3] = ["code", "level", "name"];

/// Stands for a cell that was found wrong, so that nothing more is said about it.
pub const WRONG: &str = "?";

/// The cells of a row as they are staged: every one of its column's type, or `None` if empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StagedRow {
    pub line: u64,
    /// Of the columns up to `electorate_parent`.
    pub texts: [Option<String>; 6],
    /// `electors`, `doors`.
    pub counts: [Option<i32>; 2],
    /// `lat`, `lon`.
    pub location: Option<(f64, f64)>,
    pub valid_from: Option<NaiveDate>,
}

/// Reads the cells of a row; `None` if it cannot even be told which unit it is about.
pub fn stage_row(row: Row, errors: &mut Vec<CellError>) -> Option<StagedRow> {
    let Row { line, cells } = row;
    let cells: [String; 11] = cells.try_into().ok()?;
    let [
        code,
        level,
        name,
        name_local,
        organisation,
        electorate,
        electors,
        doors,
        lat,
        lon,
        day,
    ] = cells;
    let mut check = Check { line, errors };
    let code_is_good = check.code(&code);
    let staged = StagedRow {
        line,
        texts: [
            Some(code),
            check.level(level),
            check.name("name", name),
            check.name("name_local", name_local),
            check.parent("organisation_parent", organisation),
            check.parent("electorate_parent", electorate),
        ],
        counts: [check.count("electors", &electors), check.count("doors", &doors)],
        location: check.location(&lat, &lon),
        valid_from: check.day(&day),
    };
    code_is_good.then_some(staged)
}

struct Check<'a> {
    line: u64,
    errors: &'a mut Vec<CellError>,
}

impl Check<'_> {
    fn refuse(&mut self, column: &str, code: &'static str, reason: impl Into<String>) {
        self.errors.push(CellError::new(self.line, column, code, reason));
    }

    fn code(&mut self, cell: &str) -> bool {
        let good = is_code(cell);
        if cell.is_empty() {
            self.refuse("code", "missing", "every unit has a code");
        } else if !good {
            let reason = "must be 1 to 64 letters, digits and ._/-, the first a letter or digit";
            self.refuse("code", "bad_code", reason);
        }
        good
    }

    fn level(&mut self, cell: String) -> Option<String> {
        if cell.is_empty() {
            return None;
        }
        if Level::find(&cell).is_some() {
            return Some(cell);
        }
        let names: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
        self.refuse(
            "level",
            "unknown_level",
            format!("must be one of {}", names.join(", ")),
        );
        Some(WRONG.to_owned())
    }

    fn name(&mut self, column: &str, cell: String) -> Option<String> {
        let length = cell.chars().count();
        if length > 300 {
            let reason = format!("must have at most 300 characters, has {length}");
            self.refuse(column, "bad_length", reason);
        }
        (!cell.is_empty()).then_some(cell)
    }

    fn parent(&mut self, column: &str, cell: String) -> Option<String> {
        if cell.is_empty() {
            return None;
        }
        if is_code(&cell) {
            return Some(cell);
        }
        self.refuse(column, "bad_code", "must be the code of a unit");
        Some(WRONG.to_owned())
    }

    fn count(&mut self, column: &str, cell: &str) -> Option<i32> {
        if cell.is_empty() {
            return None;
        }
        let count = cell.parse().ok().filter(|count| (0..=MAX_COUNT).contains(count));
        if count.is_none() {
            let reason = format!("must be a whole number from 0 to {MAX_COUNT}, without separators");
            self.refuse(column, "bad_number", reason);
        }
        count
    }

    fn degrees(&mut self, column: &str, cell: &str, most: f64) -> Option<f64> {
        let degrees = cell
            .parse::<f64>()
            .ok()
            .filter(|degrees| (-most..=most).contains(degrees));
        if degrees.is_none() {
            let reason = format!("must be degrees from -{most} to {most}");
            self.refuse(column, "bad_number", reason);
        }
        degrees
    }

    fn location(&mut self, lat: &str, lon: &str) -> Option<(f64, f64)> {
        match (lat.is_empty(), lon.is_empty()) {
            (true, true) => None,
            (false, false) => {
                let lat = self.degrees("lat", lat, 90.0);
                let lon = self.degrees("lon", lon, 180.0);
                lat.zip(lon)
            }
            (lat_is_empty, _) => {
                let column = if lat_is_empty { "lat" } else { "lon" };
                self.refuse(
                    column,
                    "missing",
                    "latitude and longitude go together, or both are left empty",
                );
                None
            }
        }
    }

    fn day(&mut self, cell: &str) -> Option<NaiveDate> {
        if cell.is_empty() {
            return None;
        }
        let day = NaiveDate::parse_from_str(cell, "%Y-%m-%d")
            .ok()
            .filter(|day| cell.len() == 10 && (1900..=2200).contains(&day.year()));
        if day.is_none() {
            let reason = "must be a day such as 2026-11-23, from 1900 to 2200, or empty for since ever";
            self.refuse("valid_from", "bad_day", reason);
        }
        day
    }
}

impl StagedRow {
    /// Appends the row in the text format of COPY. Cells hold no control characters, so only the backslash is special.
    pub fn write_copy(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.line.to_string().as_bytes());
        for text in &self.texts {
            match text {
                Some(text) => field(out, &text.replace('\\', "\\\\")),
                None => field(out, "\\N"),
            }
        }
        for count in &self.counts {
            optional(out, count.as_ref());
        }
        optional(out, self.location.map(|(lat, _)| lat).as_ref());
        optional(out, self.location.map(|(_, lon)| lon).as_ref());
        optional(out, self.valid_from.as_ref());
        out.push(b'\n');
    }
}

fn field(out: &mut Vec<u8>, text: &str) {
    out.push(b'\t');
    out.extend_from_slice(text.as_bytes());
}

fn optional<T: ToString>(out: &mut Vec<u8>, value: Option<&T>) {
    match value {
        Some(value) => field(out, &value.to_string()),
        None => field(out, "\\N"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(cells: [&str; 11]) -> (Option<StagedRow>, Vec<(String, &'static str)>) {
        let mut errors = Vec::new();
        let row = Row {
            line: 7,
            cells: cells.map(str::to_owned).to_vec(),
        };
        let staged = stage_row(row, &mut errors);
        (
            staged,
            errors
                .into_iter()
                .map(|error| (error.column, error.code))
                .collect(),
        )
    }

    #[test]
    fn a_good_row_is_staged_as_it_is() {
        let (row, errors) = stage([
            "S1-B1",
            "booth",
            r"a\b",
            "",
            "S1-M1",
            "",
            "900",
            "",
            "26.5",
            "80.25",
            "2026-01-31",
        ]);
        assert_eq!(errors, []);
        let mut out = Vec::new();
        row.unwrap().write_copy(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "7\tS1-B1\tbooth\ta\\\\b\t\\N\tS1-M1\t\\N\t900\t\\N\t26.5\t80.25\t2026-01-31\n"
        );
    }

    #[test]
    fn everything_wrong_with_a_row_is_said_at_once() {
        let (row, errors) = stage([
            "=1",
            "village",
            &"x".repeat(301),
            "",
            "a b",
            "",
            "1,000",
            "-1",
            "91",
            "",
            "2026-02-30",
        ]);
        assert_eq!(row, None);
        let expected = [
            ("code", "bad_code"),
            ("level", "unknown_level"),
            ("name", "bad_length"),
            ("organisation_parent", "bad_code"),
            ("electors", "bad_number"),
            ("doors", "bad_number"),
            ("lon", "missing"),
            ("valid_from", "bad_day"),
        ];
        assert_eq!(errors, expected.map(|(column, code)| (column.to_owned(), code)));
    }

    #[test]
    fn no_number_is_stretched() {
        for lat in ["NaN", "inf", "90.1", "x"] {
            let (_, errors) = stage(["A", "booth", "n", "", "P", "", "", "", lat, "1", ""]);
            assert_eq!(errors, [("lat".to_owned(), "bad_number")], "{lat}");
        }
        for day in ["2026-1-1", "1899-12-31", "0001-01-01", "2201-01-01", "today"] {
            let (_, errors) = stage(["A", "booth", "n", "", "P", "", "", "", "", "", day]);
            assert_eq!(errors, [("valid_from".to_owned(), "bad_day")], "{day}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_row_panics_and_every_staged_row_is_one_line(cells in proptest::collection::vec("[^\\p{Cc}]{0,20}", 11)) {
            let mut errors = Vec::new();
            if let Some(row) = stage_row(Row { line: 2, cells }, &mut errors) {
                let mut out = Vec::new();
                row.write_copy(&mut out);
                proptest::prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
                proptest::prop_assert_eq!(out.iter().filter(|b| **b == b'\t').count(), 11);
            }
        }
    }
}
