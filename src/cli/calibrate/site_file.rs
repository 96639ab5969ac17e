//! The site file with what was learnt in place of what it said before; comments and all else as they were.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::{
    domain::{Print, ZoneId, ZonePrints},
    presence::Calibration,
};

/// Points in one line of the file.
const IN_A_LINE: usize = 4;

/// Writes what was found of the anchors.
pub(super) fn write_anchors(document: &mut DocumentMut, calibration: &Calibration) -> Result<()> {
    let anchors = document.get_mut("anchor").and_then(Item::as_array_of_tables_mut);
    let anchors = anchors.context("the site file has no [[anchor]] tables to write to")?;
    for table in anchors.iter_mut() {
        let id = table.get("id").and_then(Item::as_str).unwrap_or_default();
        let Some(found) = calibration.anchors.iter().find(|it| it.anchor.as_str() == id) else { continue };
        table["rssi_at_1m"] = value(found.rssi_at_1m);
        table["path_loss"] = value(found.path_loss);
        match found.survey.doubt_db {
            Some(doubt) => table["doubt_db"] = value(doubt),
            None => _ = table.remove("doubt_db"),
        }
        table["survey"] = value(rows(&found.survey.points));
    }
    Ok(())
}

/// Writes what is heard in the zones.
pub(super) fn write_zones(document: &mut DocumentMut, prints: &BTreeMap<ZoneId, ZonePrints>) -> Result<()> {
    if prints.is_empty() {
        return Ok(());
    }
    let zones = document.get_mut("zone").and_then(Item::as_array_of_tables_mut);
    let zones = zones.context("the site file has no [[zone]] tables to write to")?;
    for table in zones.iter_mut() {
        let id: Option<ZoneId> = table.get("id").and_then(Item::as_str).and_then(|id| id.parse().ok());
        let Some(found) = id.and_then(|id| prints.get(&id)) else { continue };
        table["stay_s"] = value(found.stay_s);
        let tables: ArrayOfTables = found.prints.iter().map(print).collect();
        table["print"] = Item::ArrayOfTables(tables);
    }
    Ok(())
}

fn print(print: &Print) -> Table {
    let mut table = Table::new();
    table["share"] = value(print.share);
    table["anchors"] = value(print.heard.iter().map(|it| it.anchor.as_str()).collect::<Array>());
    let levels: Vec<_> =
        print.heard.iter().map(|it| [it.level, it.level_spread, it.change, it.change_spread]).collect();
    table["levels"] = value(rows(&levels));
    table
}

fn rows<const N: usize>(rows: &[[f64; N]]) -> Array {
    let mut list = Array::new();
    for (i, row) in rows.iter().enumerate() {
        let mut item = Value::Array(row.iter().copied().collect());
        item.decor_mut().set_prefix(if i % IN_A_LINE == 0 { "\n  " } else { " " });
        list.push_formatted(item);
    }
    list.set_trailing("\n");
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{PrintHeard, Survey},
        presence::AnchorFit,
    };

    const SITE: &str = "# ours\n[[anchor]]\nid = \"a\"   # by the door\nx = 1.0\nrssi_at_1m = -70.0\n\n[[anchor]]\nid = \"b\"\n\n[[zone]]\nid = \"z\"\n";

    #[test]
    fn the_site_file_keeps_its_comments_and_gets_the_keys() {
        let fit = AnchorFit {
            anchor: "a".parse().expect("id"),
            samples: 3,
            rssi_at_1m: -59.5,
            path_loss: 1.9,
            residual_db: None,
            pooled_residual_db: None,
            survey: Survey { points: vec![[1.0, 2.5, -3.1]], doubt_db: Some(3.2) },
        };
        let heard = PrintHeard {
            anchor: "a".parse().expect("id"),
            level: -66.1,
            level_spread: 4.0,
            change: 0.3,
            change_spread: 2.5,
        };
        let found = ZonePrints { stay_s: 12.5, prints: vec![Print { share: 1.0, heard: vec![heard] }] };
        let mut document: DocumentMut = SITE.parse().expect("a document");
        write_anchors(&mut document, &Calibration { pooled: (-60.0, 1.8), anchors: vec![fit] }).expect("writes");
        write_zones(&mut document, &[("z".parse().expect("id"), found)].into()).expect("writes");
        insta::assert_snapshot!(document.to_string(), @r#"
        # ours
        [[anchor]]
        id = "a"   # by the door
        x = 1.0
        rssi_at_1m = -59.5
        path_loss = 1.9
        doubt_db = 3.2
        survey = [
          [1.0, 2.5, -3.1]
        ]

        [[anchor]]
        id = "b"

        [[zone]]
        id = "z"
        stay_s = 12.5

        [[zone.print]]
        share = 1.0
        anchors = ["a"]
        levels = [
          [-66.1, 4.0, 0.3, 2.5]
        ]
        "#);
        let mut empty = DocumentMut::new();
        assert!(write_anchors(&mut empty, &Calibration { pooled: (-60.0, 1.8), anchors: Vec::new() }).is_err());
    }
}
