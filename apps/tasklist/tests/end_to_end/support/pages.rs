//! What visitors do with the list, and what they see.

use tasklist::visitor::{Page, Visitor};

/// The name by which all processes are asked for the list, as behind a load balancer: pages are
/// kept by host name, so only then do processes share them.
pub(crate) const HOST: (&str, &str) = ("host", "localhost");

/// Opens the list.
pub(crate) async fn list(visitor: &mut Visitor) -> Page {
    let page = visitor.get_with("/", &[HOST]).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    page
}

/// Adds a task by the form.
pub(crate) async fn add(visitor: &mut Visitor, name: &str) {
    let page = visitor.post("/add", &[("name", name)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.body);
}

/// Removes a task by its button on `page`.
pub(crate) async fn remove(visitor: &mut Visitor, page: &Page, name: &str) {
    let id = id_of(page, name).unwrap_or_else(|| panic!("{name:?} is not in {}", page.body));
    let page = visitor.post("/remove", &[("id", id)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.body);
}

/// Whether the list on `page` has a task of this name.
pub(crate) fn shows(page: &Page, name: &str) -> bool {
    page.body.contains(&cell(name))
}

/// Whether the page came from the page cache.
pub(crate) fn is_hit(page: &Page) -> bool {
    page.header("cache-status") == "larder-pages; hit"
}

fn id_of<'p>(page: &'p Page, name: &str) -> Option<&'p str> {
    let (_, rest) = page.body.split_once(&cell(name))?;
    let (_, rest) = rest.split_once("name=\"id\" value=\"")?;
    rest.split('"').next()
}

/// A name's cell in the table; for names of characters that HTML leaves alone.
fn cell(name: &str) -> String {
    format!(">{name}</td>")
}
