//! Showing something again and again, until Ctrl-C; or once, where nobody looks.

use std::time::Duration;

use super::screen::Screen;
use crate::tell;

/// Something that can be looked at.
pub(super) trait View {
    /// Looks anew.
    async fn look(&mut self) -> anyhow::Result<()>;

    /// What was seen, with escape sequences around what is to stand out.
    fn text(&self, bold: (&str, &str)) -> String;
}

/// Shows `view` every `pause` on a terminal. Elsewhere it looks twice, a `pause` apart, and shows that:
/// rates are differences.
pub(super) async fn watch(mut view: impl View, pause: Duration) -> anyhow::Result<()> {
    view.look().await?;
    let Some(screen) = Screen::take() else {
        tokio::time::sleep(pause).await;
        view.look().await?;
        tell::out(view.text(("", "")));
        return Ok(());
    };
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    screen.draw(&view.text(("\x1b[1m", "\x1b[0m")));
    let look = async {
        loop {
            ticks.tick().await;
            view.look().await?;
            screen.draw(&view.text(("\x1b[1m", "\x1b[0m")));
        }
    };
    let stop = tasklist::shutdown::signal()?;
    tokio::select! {
        ended = look => ended,
        _ = stop => Ok(()),
    }
}
