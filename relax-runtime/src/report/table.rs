//! Plain-text tables.

use std::fmt;

/// Writes rows as a table whose first row is the header, with columns padded to their widest cell; no
/// line break follows the last row.
pub(crate) fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; N]],
) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        let end = if i + 1 == rows.len() { "" } else { "\n" };
        write!(f, "{}{end}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
