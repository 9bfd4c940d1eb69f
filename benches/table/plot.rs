//! The plot: one event over https, by everyone, in horizontal bars on a logarithmic scale.

use crate::direct;
use crate::report::time;
use crate::row::{EVERYONE, Row, Who};

/// Where README finds it.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plot.svg");

/// The size of the body, in bytes.
const SIZE: usize = 512;

const WIDTH: f64 = 760.0;
/// Where the bars begin, and where the scale ends.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 660.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;

/// Legible on light and on dark, as the reader has it.
const STYLE: &str = "
  .paper { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .quiet { fill: #59636e; font-size: 12px }
  .bar { fill: #9aa4af } .ours { fill: #0969da } .bold { font-weight: 600 }
  line { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 }
    .bar { fill: #656c76 } .ours { fill: #4493f8 } line { stroke: #3d444d }
  }
";

/// None if direct delivery was not measured.
pub fn svg(rows: &[Row]) -> Option<String> {
    let row = |is_warm| {
        let name = direct::name("https", is_warm, 1, SIZE);
        rows.iter().find(|row| row.name == name)
    };
    let groups = [
        ("warm: the connection is open", row(true)?),
        ("fresh: a connection for each", row(false)?),
    ];
    let medians = groups
        .iter()
        .flat_map(|(_, row)| EVERYONE.map(|who| row.median(who)))
        .flatten();
    let (least, most) = medians.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    // From a whole power of ten below to one above.
    let (first, last) = (least.log10().floor(), most.log10().ceil());
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value.log10() - first) / (last - first);

    let mut body = String::new();
    let mut y = 66.0;
    for (title, row) in groups {
        y += 8.0;
        body += &text(16.0, y + 4.0, "bold", "start", title);
        y += 16.0;
        let mut lines: Vec<_> = EVERYONE
            .iter()
            .filter_map(|who| Some((*who, row.median(*who)?)))
            .collect();
        lines.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        for (who, median) in lines {
            let (class, weight) = match who {
                Who::Ours => ("ours", "bold"),
                _ => ("bar", ""),
            };
            let middle = y + BAR - 4.5;
            body += &text(LEFT - 8.0, middle, weight, "end", label(who));
            body += &format!(
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\n",
                x(median) - LEFT
            );
            body += &text(x(median) + 6.0, middle, weight, "start", &time(median));
            y += STEP;
        }
        y += 12.0;
    }
    let bottom = y - 6.0;
    let mut scale = String::new();
    let mut power = first;
    while power <= last {
        let (at, value) = (x(10_f64.powf(power)), 10_f64.powf(power));
        scale += &format!("<line x1=\"{at:.1}\" y1=\"60\" x2=\"{at:.1}\" y2=\"{bottom:.1}\"/>\n");
        scale += &text(at, bottom + 16.0, "quiet", "middle", &power_of_ten(value));
        power += 1.0;
    }
    let height = bottom + 30.0;
    let title = text(
        16.0,
        28.0,
        "title",
        "start",
        "One event over https, 0.5 KB, until it is answered",
    );
    let subtitle = text(
        16.0,
        47.0,
        "quiet",
        "start",
        "median on loopback, logarithmic scale; shorter is better",
    );
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n{title}{subtitle}{scale}{body}</svg>\n"
    ))
}

fn label(who: Who) -> &'static str {
    match who {
        Who::ByHand => "raw client, by hand",
        Who::Python => "Python reference",
        other => other.name(),
    }
}

fn power_of_ten(nanoseconds: f64) -> String {
    time(nanoseconds).replace(".00", "").replace(".0", "")
}

fn text(x: f64, y: f64, class: &str, anchor: &str, text: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>\n"
    )
}
