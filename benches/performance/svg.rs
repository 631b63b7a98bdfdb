//! Owns the charts: bars of what was measured, each with its range.

use std::fmt::Write;

use crate::{
    h2load::Shape,
    stats::{Spread, number},
    throughput::{Comparison, FULL, GetMe, LIGHT},
};

const WIDTH: f64 = 760.0;
const BAR_START: f64 = 270.0;
const BAR_SPACE: f64 = 380.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_GAP: f64 = 4.0;
const GROUP_GAP: f64 = 12.0;
const TITLE_HEIGHT: f64 = 34.0;

/// Readable on light and dark backgrounds: the text follows the reader's scheme, the bars stand out on both.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.bare { fill: #8b949e }
.signet { fill: #2f81f7 }
.range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .range { stroke: #e6edf3 } }";

/// One bar: its label, its class in the style sheet, and its value.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) class: &'static str,
    pub(crate) value: Spread,
}

/// Bars on one scale, in groups, under a title.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) groups: Vec<Vec<Bar>>,
    /// How many decimals a value is shown with.
    pub(crate) digits: usize,
}

/// The chart of calls with a token seen before.
pub(crate) fn of_get_me(get_me: &GetMe) -> String {
    let rate = bars(get_me, |comparison| (comparison.bare.rate, comparison.signet.rate));
    let cpu = bars(get_me, |comparison| (comparison.bare.cpu_us, comparison.signet.cpu_us));
    let title = |text: &str| text.to_owned();
    chart(
        "GetMe: Signet beside a bare tonic server",
        &[
            Panel {
                title: title("GetMe, token seen before: requests per second (more is better)"),
                groups: rate,
                digits: 0,
            },
            Panel {
                title: title("Server CPU per call, microseconds (less is better)"),
                groups: cpu,
                digits: 1,
            },
        ],
    )
}

/// One panel below the other.
pub(crate) fn chart(label: &str, panels: &[Panel]) -> String {
    let (mut body, mut bottom) = (String::new(), 8.0 - GROUP_GAP);
    for panel in panels {
        bottom = draw(&mut body, bottom + GROUP_GAP, panel);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {bottom:.0}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>\n{STYLE}\n</style>\n{body}</svg>\n"
    )
}

/// Two bars for each shape of load.
fn bars(get_me: &GetMe, values: impl Fn(&Comparison) -> (Spread, Spread)) -> Vec<Vec<Bar>> {
    let both = [(FULL, &get_me.full), (LIGHT, &get_me.light)];
    both.map(|(Shape { connections, streams }, comparison)| {
        let (bare, signet) = values(comparison);
        vec![
            Bar { label: format!("bare, {connections} x {streams} streams"), class: "bare", value: bare },
            Bar {
                label: format!("Signet, {connections} x {streams} streams"),
                class: "signet",
                value: signet,
            },
        ]
    })
    .into()
}

/// Draws the bars from `top` on, and returns where they end. A line over the end of each bar spans its smallest to largest value.
fn draw(body: &mut String, top: f64, panel: &Panel) -> f64 {
    let Panel { title, groups, digits } = panel;
    let largest = groups.iter().flatten().map(|bar| bar.value.max).fold(0.0, f64::max);
    let x = |value: f64| BAR_START + value / largest * BAR_SPACE;
    // Writing to a String never fails.
    let _ = writeln!(body, "<text class=\"title\" x=\"8\" y=\"{:.0}\">{title}</text>", top + 16.0);
    let mut y = top + TITLE_HEIGHT;
    for group in groups {
        for Bar { label, class, value } in group {
            let (width, middle, text) = (x(value.median) - BAR_START, y + BAR_HEIGHT / 2.0, y + 14.0);
            let (least, most) = (x(value.min), x(value.max));
            let _ = writeln!(
                body,
                "<text x=\"8\" y=\"{text:.0}\">{label}</text>\n\
                 <rect class=\"{class}\" x=\"{BAR_START}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>\n\
                 <line class=\"range\" x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n\
                 <text x=\"{:.1}\" y=\"{text:.0}\">{}</text>",
                most.max(x(value.median)) + 8.0,
                number(value.median, *digits),
            );
            y += BAR_HEIGHT + BAR_GAP;
        }
        y += GROUP_GAP;
    }
    y
}
