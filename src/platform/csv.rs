//! Tables of comma-separated values (RFC 4180) with a header row, held in memory: every cell trimmed, every row with the
//! line it starts on.

use csv_core::{ReadRecordResult, Reader};

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

/// Reads a table. `columns` may stand in any order; those in `required` must be there, others than `columns` must not.
///
/// # Errors
/// Everything that keeps the file from being read as such a table.
pub fn read_table(
    bytes: &[u8],
    columns: &[&str],
    required: &[&str],
    max_rows: usize,
) -> Result<Vec<Row>, Vec<CellError>> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut errors = Vec::new();
    let mut records = Records::new(bytes);
    let header = match records.next() {
        Some(Ok((_, header))) => header,
        Some(Err(error)) => return Err(vec![error]),
        None => {
            return Err(vec![CellError::new(
                1,
                "",
                "no_header",
                "the file is empty; the first line names the columns",
            )]);
        }
    };
    let places = places_of(&header, columns, required, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut rows = Vec::new();
    for record in records {
        match record {
            // An empty line.
            Ok((_, cells)) if cells.len() == 1 && cells.iter().all(String::is_empty) => {}
            Ok((line, cells)) if cells.len() == header.len() => {
                let pick = |place: &Option<usize>| place.and_then(|at| cells.get(at)).cloned();
                rows.push(Row {
                    line,
                    cells: places
                        .iter()
                        .map(|place| pick(place).unwrap_or_default())
                        .collect(),
                });
            }
            Ok((line, cells)) => errors.push(CellError::new(
                line,
                "",
                "wrong_width",
                format!("has {} cells, the header {}", cells.len(), header.len()),
            )),
            Err(error) => errors.push(error),
        }
        if rows.len() > max_rows {
            let reason = format!("the file has more than {max_rows} rows; send it in parts");
            return Err(vec![CellError::new(1, "", "too_many_rows", reason)]);
        }
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

/// The records of a file, each with the line it starts on.
struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
    field: Vec<u8>,
    ends: Vec<usize>,
    done: bool,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(),
            rest: bytes,
            field: vec![0; MAX_RECORD],
            ends: vec![0; MAX_COLUMNS],
            done: false,
        }
    }

    fn cells(&self, ends: usize, line: u64) -> Result<(u64, Vec<String>), CellError> {
        let mut cells = Vec::with_capacity(ends);
        let mut start = 0;
        for end in self.ends.iter().take(ends) {
            let cell = std::str::from_utf8(self.field.get(start..*end).unwrap_or_default())
                .map_err(|_| CellError::new(line, "", "not_utf8", "is not UTF-8"))?;
            if cell.chars().any(char::is_control) {
                let reason = "must not contain control characters or line breaks";
                return Err(CellError::new(line, "", "control_character", reason));
            }
            cells.push(cell.trim().to_owned());
            start = *end;
        }
        Ok((line, cells))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(u64, Vec<String>), CellError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        // The reader skips empty lines before a record, so where a record starts is known by looking for them.
        let mut line = self.reader.line();
        while let Some((first, rest)) = self.rest.split_first() {
            match first {
                b'\n' => line = line.saturating_add(1),
                b'\r' => {}
                _ => break,
            }
            self.rest = rest;
        }
        self.reader.set_line(line);
        let (mut wrote, mut ended) = (0, 0);
        loop {
            let field = self.field.get_mut(wrote..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let (result, read, written, found) = self.reader.read_record(self.rest, field, ends);
            self.rest = self.rest.get(read..).unwrap_or_default();
            wrote = wrote.saturating_add(written);
            ended = ended.saturating_add(found);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => return Some(self.cells(ended, line)),
                ReadRecordResult::End => {
                    self.done = true;
                    return None;
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.done = true;
                    let reason = "the row is too long; is a quotation mark not closed?";
                    return Some(Err(CellError::new(line, "", "row_too_long", reason)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
