//! What the pictures have in common: they have no background, and their colours are of medium
//! brightness, so they can be read in light and in dark surroundings.

pub(crate) const TEXT: &str = "#737d87";
pub(crate) const GREEN: &str = "#2f9e62";
pub(crate) const BLUE: &str = "#5b8fd6";
pub(crate) const RUST: &str = "#cf7a5b";

/// The start of a picture of a size in pixels; it ends with `</svg>`.
pub(crate) fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, -apple-system, 'Segoe UI', \
         'Helvetica Neue', Arial, sans-serif\" font-size=\"13\" fill=\"{TEXT}\">\n"
    )
}

/// Adds an element, on a line of its own.
pub(crate) fn line(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

/// Adds a title at the top.
pub(crate) fn title(svg: &mut String, text: &str) {
    let text = escape(text);
    line(svg, &format!("<text y=\"20\" font-size=\"17\" font-weight=\"600\">{text}</text>"));
}

/// Adds a line of smaller text below it.
pub(crate) fn subtitle(svg: &mut String, text: &str) {
    let text = escape(text);
    line(svg, &format!("<text y=\"41\" font-size=\"12\">{text}</text>"));
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
