//! The report as CSV (RFC 4180): a line for each indicator and unit.

use super::wire::report::ShortfallReport;
use crate::platform::csv::text_cell;

const COLUMNS: &str = "as_of,indicator,unit_of_measure,rank,unit_id,code,level,name,target,actual,shortfall,missing,\
    trend,numerator,denominator,heaviest_1,heaviest_2,heaviest_3";

/// The whole report.
pub fn csv_of(report: &ShortfallReport) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for group in &report.indicators {
        let measure = serde_json::to_value(group.indicator.unit).unwrap_or_default();
        for item in &group.items {
            let heavy = |n: usize| {
                let part = item.heaviest.get(n);
                text_cell(part.map_or("", |part| part.unit.code.as_str()))
            };
            let cells = [
                report.as_of.to_string(),
                text_cell(&group.indicator.id),
                text_cell(measure.as_str().unwrap_or_default()),
                item.rank.to_string(),
                item.unit.id.to_string(),
                text_cell(&item.unit.code),
                text_cell(&item.unit.level),
                text_cell(&item.unit.name),
                item.target.to_string(),
                number(item.actual),
                number(item.shortfall),
                number(item.missing),
                number(item.trend),
                item.numerator.to_string(),
                item.denominator.map(|n| n.to_string()).unwrap_or_default(),
                heavy(0),
                heavy(1),
                heavy(2),
            ];
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
    }
    text
}
