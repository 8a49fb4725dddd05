//! Tables of comma-separated values (RFC 4180) with a header row, read whole or piece by piece: every cell trimmed, every
//! row with the line it starts on. And cells to be written, safe to be opened in a spreadsheet.

use csv_core::{ReadRecordResult, Reader};
use serde_json::json;

use super::error::{ApiError, Code};

/// Most columns that are looked at.
const MAX_COLUMNS: usize = 64;
/// A field larger than this is no cell of ours.
const MAX_RECORD: usize = 64 * 1024;

/// A row by the columns that were asked for, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line on which it starts, from 1; the header is on line 1.
    pub line: u64,
    /// One for each column asked for; empty where the file has no such column.
    pub cells: Vec<String>,
}

/// What is wrong with a cell, or with a row (`column` is then empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    pub line: u64,
    pub column: String,
    pub code: &'static str,
    pub reason: String,
}

impl CellError {
    /// An error in one column of one line.
    #[must_use]
    pub fn new(line: u64, column: &str, code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            line,
            column: column.to_owned(),
            code,
            reason: reason.into(),
        }
    }
}

/// Most errors that an answer lists.
const MAX_ERRORS: usize = 1000;

/// 422 that names the bad cells, the first thousand of them, and how many there are.
#[must_use]
pub fn rejection(errors: &[CellError]) -> ApiError {
    let listed: Vec<_> = errors
        .iter()
        .take(MAX_ERRORS)
        .map(|error| {
            json!({
                "pointer": format!("/{}/{}", error.line, error.column), "code": error.code, "detail": error.reason,
                "line": error.line, "column": error.column, "reason": error.reason,
            })
        })
        .collect();
    let detail = match errors.len() {
        1 => "1 error; nothing was imported".to_owned(),
        n => format!("{n} errors; nothing was imported"),
    };
    ApiError::new(Code::ImportRejected, detail)
        .with_member("errors", listed.into())
        .with_member("error_count", errors.len().into())
}

/// Reads a table that is held in memory. `columns` may stand in any order; those in `required` must be there, others
/// than `columns` must not.
///
/// # Errors
/// Everything that keeps the file from being read as such a table.
pub fn read_table(
    bytes: &[u8],
    columns: &[&str],
    required: &[&str],
    max_rows: usize,
) -> Result<Vec<Row>, Vec<CellError>> {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    let mut reader = TableReader::new(columns, required);
    let mut take = |row: Result<Row, CellError>| {
        match row {
            Ok(row) => rows.push(row),
            Err(error) => errors.push(error),
        }
        rows.len() <= max_rows
    };
    let goes_on = reader.feed(bytes, &mut take) && reader.finish(&mut take);
    if !goes_on && rows.len() > max_rows {
        let reason = format!("the file has more than {max_rows} rows; send it in parts");
        return Err(vec![CellError::new(1, "", "too_many_rows", reason)]);
    }
    if errors.is_empty() { Ok(rows) } else { Err(errors) }
}

fn places_of(
    header: &[String],
    columns: &[&str],
    required: &[&str],
    errors: &mut Vec<CellError>,
) -> Vec<Option<usize>> {
    for (n, name) in header.iter().enumerate() {
        if !columns.contains(&name.as_str()) {
            let reason = format!("columns are {}", columns.join(", "));
            errors.push(CellError::new(1, name, "unknown_column", reason));
        } else if header.iter().take(n).any(|before| before == name) {
            errors.push(CellError::new(1, name, "duplicate_column", "stands here twice"));
        }
    }
    for name in required {
        if !header.iter().any(|known| known == name) {
            errors.push(CellError::new(
                1,
                name,
                "missing_column",
                "this column must be there",
            ));
        }
    }
    columns
        .iter()
        .map(|column| header.iter().position(|name| name == column))
        .collect()
}

/// Reads a table piece by piece, however it was cut, in the memory of one row.
#[derive(Debug)]
pub struct TableReader<'a> {
    columns: &'a [&'a str],
    required: &'a [&'a str],
    /// The names in the first row, and where in a row each column asked for stands; empty until it was read.
    header: Vec<String>,
    places: Vec<Option<usize>>,
    reader: Reader,
    field: Vec<u8>,
    ends: Vec<usize>,
    /// How far `field` and `ends` hold the row that is being read.
    wrote: usize,
    ended: usize,
    /// The line on which that row starts, if any of it was read.
    started: Option<u64>,
    /// The first bytes, until there are enough to know a byte order mark.
    head: Option<Vec<u8>>,
    broken: bool,
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<'a> TableReader<'a> {
    /// A reader of these columns, as for [`read_table`].
    #[must_use]
    pub fn new(columns: &'a [&'a str], required: &'a [&'a str]) -> Self {
        Self {
            columns,
            required,
            header: Vec::new(),
            places: Vec::new(),
            reader: Reader::new(),
            field: vec![0; MAX_RECORD],
            ends: vec![0; MAX_COLUMNS],
            wrote: 0,
            ended: 0,
            started: None,
            head: Some(Vec::new()),
            broken: false,
        }
    }

    /// Hands on the rows that end in this piece, and what is wrong with others. False when nothing more can be read: the
    /// taker said so, or the file is broken beyond the row.
    pub fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Result<Row, CellError>) -> bool) -> bool {
        if let Some(mut head) = self.head.take() {
            head.extend_from_slice(bytes);
            if head.len() < BYTE_ORDER_MARK.len() {
                self.head = Some(head);
                return true;
            }
            return self.read(head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head), take);
        }
        self.read(bytes, take)
    }

    /// Hands on the last row, if no line break ended it.
    pub fn finish(&mut self, take: &mut impl FnMut(Result<Row, CellError>) -> bool) -> bool {
        if let Some(head) = self.head.take()
            && !self.read(&head, take)
        {
            return false;
        }
        if self.broken {
            return false;
        }
        if self.started.is_some() && !self.record(&[], take).1 {
            return false;
        }
        if self.header.is_empty() {
            let reason = "the file is empty; the first line names the columns";
            return take(Err(CellError::new(1, "", "no_header", reason)));
        }
        true
    }

    fn read(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Result<Row, CellError>) -> bool) -> bool {
        while !self.broken {
            if self.started.is_none() {
                // The reader skips empty lines before a row, so where a row starts is known by looking for them.
                let mut line = self.reader.line();
                while let Some((first, rest)) = bytes.split_first() {
                    match first {
                        b'\n' => line = line.saturating_add(1),
                        b'\r' => {}
                        _ => break,
                    }
                    bytes = rest;
                }
                self.reader.set_line(line);
                if bytes.is_empty() {
                    return true;
                }
                self.started = Some(line);
            }
            if bytes.is_empty() {
                return true;
            }
            let (read, goes_on) = self.record(bytes, take);
            if !goes_on {
                self.broken = true;
            }
            bytes = bytes.get(read..).unwrap_or_default();
        }
        false
    }

    /// Reads on until the row ends or the bytes do; no bytes mean the end of the file. How much was read, and whether
    /// to go on.
    fn record(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(Result<Row, CellError>) -> bool,
    ) -> (usize, bool) {
        let field = self.field.get_mut(self.wrote..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ended..).unwrap_or_default();
        let (result, read, written, found) = self.reader.read_record(bytes, field, ends);
        self.wrote = self.wrote.saturating_add(written);
        self.ended = self.ended.saturating_add(found);
        let line = self.started.unwrap_or(1);
        let goes_on = match result {
            ReadRecordResult::InputEmpty => true,
            ReadRecordResult::Record => {
                let cells = self.cells(line);
                (self.wrote, self.ended, self.started) = (0, 0, None);
                self.hand_on(line, cells, take)
            }
            ReadRecordResult::End => {
                self.started = None;
                true
            }
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                let reason = "the row is too long; is a quotation mark not closed?";
                take(Err(CellError::new(line, "", "row_too_long", reason)));
                false
            }
        };
        (read, goes_on)
    }

    fn hand_on(
        &mut self,
        line: u64,
        cells: Result<Vec<String>, CellError>,
        take: &mut impl FnMut(Result<Row, CellError>) -> bool,
    ) -> bool {
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) => return take(Err(error)) && !self.header.is_empty(),
        };
        if self.header.is_empty() {
            let mut errors = Vec::new();
            self.places = places_of(&cells, self.columns, self.required, &mut errors);
            self.header = cells;
            let sound = errors.is_empty();
            return errors.into_iter().all(|error| take(Err(error))) && sound;
        }
        if cells.len() == 1 && cells.iter().all(String::is_empty) {
            return true;
        }
        if cells.len() != self.header.len() {
            let reason = format!("has {} cells, the header {}", cells.len(), self.header.len());
            return take(Err(CellError::new(line, "", "wrong_width", reason)));
        }
        let pick = |place: &Option<usize>| place.and_then(|at| cells.get(at)).cloned();
        take(Ok(Row {
            line,
            cells: self
                .places
                .iter()
                .map(|place| pick(place).unwrap_or_default())
                .collect(),
        }))
    }

    fn cells(&self, line: u64) -> Result<Vec<String>, CellError> {
        let mut cells = Vec::with_capacity(self.ended);
        let mut start = 0;
        for (n, end) in self.ends.iter().take(self.ended).enumerate() {
            let column = self.header.get(n).map_or("", String::as_str);
            let cell = std::str::from_utf8(self.field.get(start..*end).unwrap_or_default())
                .map_err(|_| CellError::new(line, column, "not_utf8", "is not UTF-8"))?;
            if cell.chars().any(char::is_control) {
                let reason = "must not contain control characters or line breaks";
                return Err(CellError::new(line, column, "control_character", reason));
            }
            cells.push(cell.trim().to_owned());
            start = *end;
        }
        Ok(cells)
    }
}

/// A text as a cell: what a spreadsheet would run as a formula gets an apostrophe before it (OWASP, CSV injection), and
/// what holds a comma, a quote or a line break is quoted.
#[must_use]
pub fn text_cell(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_never_two_cells() {
        assert_eq!(text_cell("=1+1"), "'=1+1");
        assert_eq!(text_cell("@SUM(A1),x"), "\"'@SUM(A1),x\"");
        assert_eq!(text_cell("say \"no\""), "\"say \"\"no\"\"\"");
        assert_eq!(text_cell("plain"), "plain");
    }

    fn read(text: &str) -> Result<Vec<Row>, Vec<CellError>> {
        read_table(text.as_bytes(), &["a", "b", "c"], &["a"], 100)
    }

    fn row(line: u64, cells: [&str; 3]) -> Row {
        Row {
            line,
            cells: cells.map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn cells_come_in_the_order_asked_for_with_their_lines() {
        let text = "\u{feff}b,a\r\n 2 ,1\n\n\"x, \"\"y\"\"\",3\n";
        assert_eq!(
            read(text).unwrap(),
            [row(2, ["1", "2", ""]), row(4, ["3", "x, \"y\"", ""])]
        );
        assert_eq!(read("a,b,c\n1,2,3").unwrap(), [row(2, ["1", "2", "3"])]);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (text, line, code) in [
            ("", 1, "no_header"),
            ("b\n1\n", 1, "missing_column"),
            ("a,z\n1,2\n", 1, "unknown_column"),
            ("a,a\n1,2\n", 1, "duplicate_column"),
            ("a,b\n1,2\n1\n", 3, "wrong_width"),
            ("a,b\n1,\"x\ny\"\n", 2, "control_character"),
        ] {
            let errors = read(text).unwrap_err();
            assert_eq!((errors[0].line, errors[0].code), (line, code), "{text:?}");
        }
        assert_eq!(
            read_table(b"a\n\xff\n", &["a"], &["a"], 9).unwrap_err()[0].code,
            "not_utf8"
        );
        assert_eq!(
            read_table(b"a\n1\n2\n", &["a"], &["a"], 1).unwrap_err()[0].code,
            "too_many_rows"
        );
        let open = format!("a\n\"{}", "x\n".repeat(70_000));
        assert_eq!(read(&open).unwrap_err()[0].code, "row_too_long");
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics_or_hangs(bytes in proptest::collection::vec(proptest::sample::select(b"a,b\"\r\n \xff1".to_vec()), 0..200)) {
            let _ = read_table(&bytes, &["a", "b"], &["a"], 100);
        }

        /// However a file is cut into pieces, it is the same table.
        #[test]
        fn a_file_in_pieces_is_the_file(
            bytes in proptest::collection::vec(proptest::sample::select(b"a,b\"\r\n \xff1\xef\xbb\xbf".to_vec()), 0..60),
            header in proptest::prelude::any::<bool>(), cut in 1..9usize,
        ) {
            let mut file = if header { b"a,b\n".to_vec() } else { Vec::new() };
            file.extend(bytes);
            let whole = read_table(&file, &["a", "b"], &["a"], 100);
            let (mut rows, mut errors) = (Vec::new(), Vec::new());
            let mut reader = TableReader::new(&["a", "b"], &["a"]);
            let mut take = |row: Result<Row, CellError>| {
                match row { Ok(row) => rows.push(row), Err(error) => errors.push(error) }
                true
            };
            let _ = file.chunks(cut).all(|piece| reader.feed(piece, &mut take)) && reader.finish(&mut take);
            proptest::prop_assert_eq!(whole, if errors.is_empty() { Ok(rows) } else { Err(errors) });
        }
    }
}
