//! A page of pictures that needs nothing but itself: no script, no outside resource, and a policy that says so.

use std::fmt::Write;

use super::text::xml;
use super::{Part, Picture, Report, Table};

/// The page of a report.
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        title = xml(&report.title)
    );
    if !report.subtitle.is_empty() {
        put(&mut page, format_args!("<p class=\"muted\">{}</p>", xml(&report.subtitle)));
    }
    for part in &report.parts {
        match part {
            Part::Heading(text) => put(&mut page, format_args!("<h2>{}</h2>", xml(text))),
            Part::Text(text) => put(&mut page, format_args!("<p>{}</p>", xml(text))),
            Part::Command(line) => put(&mut page, format_args!("<pre><code>{}</code></pre>", xml(line))),
            Part::Table(table) => self::table(&mut page, table),
            Part::Picture(picture) => figure(&mut page, picture),
        }
    }
    page + "</main>\n</body>\n</html>\n"
}

fn figure(page: &mut String, picture: &Picture) {
    let twin = picture.terminal(TWIN_COLUMNS, false);
    // Line by line: an escape of a line break would be shown.
    let twin: Vec<String> = twin.lines().map(xml).collect();
    put(
        page,
        format_args!(
            "<figure>\n<div class=\"wide\">{}</div>\n<details><summary>The same as text</summary>\n<pre>{}</pre>\n\
             </details>\n</figure>",
            picture.svg(),
            twin.join("\n")
        ),
    );
}

fn table(page: &mut String, table: &Table) {
    let cells = |cells: &[String], tag: &str, scope: &str| -> Vec<String> {
        cells.iter().map(|cell| format!("<{tag}{scope}>{}</{tag}>", xml(cell))).collect()
    };
    let head = cells(&table.head, "th", " scope=\"col\"").concat();
    put(page, format_args!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>"));
    for row in &table.rows {
        let (name, figures) = row.split_at(row.len().min(1));
        let (name, figures) = (cells(name, "th", " scope=\"row\"").concat(), cells(figures, "td", "").concat());
        put(page, format_args!("<tr>{name}{figures}</tr>"));
    }
    put(page, format_args!("</tbody></table></div>"));
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a string takes everything");
}

const STYLE: &str = "
:root{color-scheme:light dark}
body{margin:0;background:#fff;color:#1b1f24;font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',\
'DejaVu Sans',Helvetica,Arial,sans-serif}
main{max-width:1008px;margin:0 auto;padding:24px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}h2{font-size:19px;margin:32px 0 8px}
.muted{color:#57606a;margin:0 0 16px;overflow-wrap:anywhere}
figure{margin:16px 0;border:1px solid #d8dce1;border-radius:8px;overflow:hidden}
figure svg{display:block;width:100%;min-width:640px;height:auto}.wide{overflow-x:auto}
details{border-top:1px solid #d8dce1;padding:8px 24px}summary{cursor:pointer;color:#57606a;font-size:13px}
pre{overflow-x:auto;font:13px/1.35 ui-monospace,'Cascadia Mono','DejaVu Sans Mono','Liberation Mono',monospace}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:8px 0}
th,td{padding:5px 16px 5px 0;border-bottom:1px solid #d8dce1;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}thead th{color:#57606a;font-weight:500}tbody th{font-weight:400}
@media (prefers-color-scheme:dark){
body{background:#14171b;color:#e6e9ed}.muted,summary,thead th{color:#9aa5b1}
figure,details,th,td{border-color:#343b43}
}
";
const TWIN_COLUMNS: usize = 100;
