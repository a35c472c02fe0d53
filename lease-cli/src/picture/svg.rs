//! The canvas of the pictures: the few SVG elements they are made of, and the document around them.
//!
//! No script, no outside resource, no identifier that could clash on a page with several pictures. Colours are those of
//! Okabe and Ito, which people with any colour vision can tell apart, as plain rules, so that programs that know less
//! of CSS than browsers draw them too. Text stays text: it can be searched, copied and read aloud.

use std::fmt::Write;

use super::text::{columns, shortened, visible, wrapped, xml};

/// A finished picture without the document around it.
#[derive(Debug)]
pub(super) struct Drawing {
    height: f64,
    body: String,
}

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    body: String,
    /// The next free place, from the top.
    pub(super) y: f64,
}

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One entry of a legend.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) class: String,
    pub(super) label: String,
}

impl Canvas {
    /// A picture that begins with its finding and where it comes from.
    pub(super) fn titled(title: &str, subtitle: &str) -> Self {
        let mut canvas = Self { body: String::new(), y: PAD };
        let lines = [("t", title, TITLE_COLUMNS, 26.0), ("m", subtitle, SUBTITLE_COLUMNS, 18.0)];
        for (class, text, columns_max, height) in lines {
            for line in wrapped(&visible(text), columns_max) {
                canvas.y += height;
                canvas.text(class, PAD, canvas.y - 6.0, Anchor::Start, &line);
            }
            canvas.y += 4.0;
        }
        canvas.y += 8.0;
        canvas
    }

    /// A text of one line whose baseline is at `y`. It is escaped here.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.put(format_args!("<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>", px(x), px(y), xml(text)));
    }

    /// A text in at most so much space; a longer one is shortened, and whole where a pointer rests on it.
    pub(super) fn text_within(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str, width: f64) {
        let text = visible(text);
        let short = shortened(&text, whole(width / COLUMN));
        if short == text {
            return self.text(class, x, y, anchor, &text);
        }
        self.put(format_args!("<g><title>{}</title>", xml(&text)));
        self.text(class, x, y, anchor, &short);
        self.put(format_args!("</g>"));
    }

    /// A shape; the title appears where a pointer rests on it.
    pub(super) fn path(&mut self, class: &str, path: &str, title: Option<&str>) {
        match title {
            _ if path.is_empty() => {}
            None => self.put(format_args!("<path class=\"{class}\" d=\"{path}\"/>")),
            Some(title) => {
                self.put(format_args!("<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>", xml(title)));
            }
        }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x, y), (to_x, to_y)) = (from, to);
        self.path(class, &format!("M{} {}L{} {}", px(x), px(y), px(to_x), px(to_y)), None);
    }

    pub(super) fn area(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        self.path(class, &bar(x, y, width, height), None);
    }

    /// What the colours mean, in as many lines as it takes.
    pub(super) fn legend(&mut self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        let mut x = PAD;
        for key in keys {
            let label = shortened(&visible(&key.label), LEGEND_COLUMNS);
            let width = 18.0 + text_width(&label) + 20.0;
            if x > PAD && x + width > WIDTH - PAD {
                x = PAD;
                self.y += 20.0;
            }
            self.area(&key.class, x, self.y + 3.0, 12.0, 12.0);
            self.text("l", x + 18.0, self.y + 13.0, Anchor::Start, &label);
            x += width;
        }
        self.y += 30.0;
    }

    pub(super) fn finished(self) -> Drawing {
        Drawing { height: self.y + PAD, body: self.body }
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes everything");
    }
}

/// The path of a rectangle.
pub(super) fn bar(x: f64, y: f64, width: f64, height: f64) -> String {
    format!("M{} {}h{}v{}h-{}z", px(x), px(y), px(width), px(height), px(width))
}

/// A number as short as a tenth of a pixel needs it.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// About how wide a text is in the size of labels.
pub(super) fn text_width(text: &str) -> f64 {
    let columns = u32::try_from(columns(text)).unwrap_or(u32::MAX);
    f64::from(columns) * COLUMN
}

/// The document of some pictures, one below the other.
pub(super) fn document(title: &str, drawings: &[Drawing]) -> String {
    let height: f64 = drawings.iter().map(|drawing| drawing.height).sum();
    let (width, height) = (px(WIDTH), px(height));
    let mut document = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lease\" role=\"img\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <path class=\"bg\" d=\"M0 0h{width}v{height}h-{width}z\"/>\n",
        xml(title)
    );
    let mut y = 0.0;
    for drawing in drawings {
        let at = px(y);
        writeln!(document, "<g transform=\"translate(0 {at})\">\n{}</g>", drawing.body).expect("a string");
        y += drawing.height;
    }
    document + "</svg>\n"
}

/// A count of something drawn; negative and absurd ones are none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
pub(super) fn whole(value: f64) -> usize {
    value as usize
}

/// The colours of light surroundings, and then what dark ones change.
const STYLE: &str = "
.lease text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans','DejaVu Sans',Helvetica,Arial,\
sans-serif;font-size:12px;fill:#1b1f24}
.lease .t{font-size:20px;font-weight:600}.lease .m{font-size:13px;fill:#57606a}.lease .n{fill:#57606a}
.lease .bg{fill:#fff}.lease .lane{fill:#f3f4f6}
.lease .grid{fill:none;stroke:#d8dce1;stroke-width:1}.lease .axis{fill:none;stroke:#8a939d;stroke-width:1}
.lease .mark{fill:none;stroke:#57606a;stroke-width:1;stroke-dasharray:2 3}
.lease .acts{fill:#0072b2}.lease .holds{fill:#56b4e9}.lease .over{fill:#d55e00}.lease .gap{fill:#999}.lease .paused{fill:#57606a}
.lease .b0{fill:#e69f00}.lease .b1{fill:#cc79a7}.lease .b2{fill:#009e73}.lease .b3{fill:#f0e442}\
.lease .b4{fill:#7f7f7f}
.lease .shade{fill-opacity:.17}
.lease .curve{fill:none;stroke-width:2;stroke-linejoin:round}.lease .dash{stroke-dasharray:6 4}
.lease .s0{stroke:#0072b2}.lease .s1{stroke:#e69f00}.lease .s2{stroke:#009e73}.lease .s3{stroke:#cc79a7}\
.lease .s4{stroke:#56b4e9}.lease .s5{stroke:#d55e00}.lease .s6{stroke:#000}
.lease .dots{fill:none;stroke:#0072b2;stroke-width:4;stroke-linecap:round}.lease .late{stroke:#d55e00}
.lease .limit{fill:none;stroke:#d55e00;stroke-width:1.5;stroke-dasharray:7 4}
.lease .w{fill:#b24e00;stroke:#fff;stroke-width:3px;paint-order:stroke}
@media (prefers-color-scheme:dark){
.lease text{fill:#e6e9ed}.lease .m,.lease .n{fill:#9aa5b1}.lease .bg{fill:#14171b}.lease .lane{fill:#1e2328}
.lease .grid{stroke:#343b43}.lease .axis{stroke:#6c7681}.lease .mark{stroke:#9aa5b1}
.lease .acts{fill:#56b4e9}.lease .holds{fill:#0072b2}.lease .gap{fill:#777f88}.lease .paused{fill:#9aa5b1}.lease .shade{fill-opacity:.22}
.lease .s0,.lease .dots{stroke:#56b4e9}.lease .s4{stroke:#0072b2}.lease .s6{stroke:#f0e442}\
.lease .late{stroke:#ff7a1a}.lease .over{fill:#ff7a1a}.lease .limit{stroke:#ff7a1a}
.lease .w{fill:#ff9a4d;stroke:#14171b}
}
";
/// How wide every picture is, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// What is left free around a picture.
pub(super) const PAD: f64 = 24.0;
/// About how wide a character of a label is; narrower than most fonts' would clip names.
const COLUMN: f64 = 6.8;
const TITLE_COLUMNS: usize = 82;
const SUBTITLE_COLUMNS: usize = 125;
const LEGEND_COLUMNS: usize = 60;
