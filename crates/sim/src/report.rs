//! The table: a line for each trace and size, a column for each policy.

use std::fmt::Write as _;

use crate::policy::Named;
use crate::simulate::{Point, gap_closed};

/// The table of hit ratios, and the mean share of the gap from LRU to Belady that each policy closes.
#[must_use]
pub fn table(points: &[Point], policies: &[Named]) -> String {
    let mut rows = vec![header(policies)];
    for point in points {
        let mut row = vec![point.trace.clone(), point.asked.clone(), point.capacity.to_string()];
        row.extend(point.ratios.iter().map(|ratio| format!("{ratio:.4}")));
        rows.push(row);
    }
    let at = |name: &str| policies.iter().position(|policy| policy.name == name);
    if let (Some(lru), Some(belady)) = (at("lru"), at("belady")) {
        let mut row = vec!["gap closed".to_owned(), "mean".to_owned(), String::new()];
        row.extend((0..policies.len()).map(|policy| {
            let share = gap_closed(points, policy, lru, belady);
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
        }));
        rows.push(row);
    }
    align(&rows)
}

/// A line for each trace, size and policy: all of them and the hit ratio, separated by tabs.
#[must_use]
pub fn tsv(points: &[Point], policies: &[Named]) -> String {
    let mut text = String::new();
    for Point { trace, asked, capacity, ratios } in points {
        for (policy, ratio) in policies.iter().zip(ratios) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{trace}\t{asked}\t{capacity}\t{}\t{ratio:.4}", policy.name);
        }
    }
    text
}

fn header(policies: &[Named]) -> Vec<String> {
    let names = policies.iter().map(|policy| policy.name.clone());
    ["trace", "size", "capacity"].map(str::to_owned).into_iter().chain(names).collect()
}

/// Columns of equal width, the first to the left and the others to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_ends_with_the_gap() {
        let policies = ["fifo", "lru", "belady"].map(|name| Named::parse(name).unwrap());
        let point = |trace: &str, ratios: [f64; 3]| Point {
            trace: trace.into(),
            asked: "10%".into(),
            capacity: 12_345,
            ratios: ratios.to_vec(),
        };
        let points = [point("a", [0.45, 0.5, 0.6]), point("longer", [0.4, 0.5, 0.7])];
        assert_eq!(
            table(&points, &policies),
            "trace       size  capacity     fifo     lru   belady\n\
             a            10%     12345   0.4500  0.5000   0.6000\n\
             longer       10%     12345   0.4000  0.5000   0.7000\n\
             gap closed  mean            -50.0 %   0.0 %  100.0 %\n"
        );
        assert_eq!(table(&points, &policies[..2]).lines().count(), 3);
        assert_eq!(tsv(&points, &policies).lines().nth(4), Some("longer\t10%\t12345\tlru\t0.5000"));
    }
}
