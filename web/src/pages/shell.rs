//! What every page has around it.

use crate::app::App;
use crate::auth::Viewer;
use crate::ui;
use store::auth::Role;

pub struct Shell {
    pub title: String,
    pub product: String,
    pub release: &'static str,
    /// Which entry of the navigation is the current one.
    pub section: &'static str,
    pub viewer: Viewer,
    pub now: String,
    pub version: String,
    /// Where a sign-in comes back to.
    pub path: String,
    dashboard: bool,
}

type NavEntry = (&'static str, &'static str, &'static str);

impl Shell {
    pub fn new(
        app: &App,
        viewer: Viewer,
        section: &'static str,
        title: impl Into<String>,
        path: impl Into<String>,
    ) -> Shell {
        Shell {
            title: title.into(),
            product: app.config.title.clone(),
            release: env!("CARGO_PKG_VERSION"),
            section,
            viewer,
            now: ui::rfc3339(app.clock.now()),
            version: crate::assets::VERSION.clone(),
            path: path.into(),
            dashboard: app.config.project_dashboard_dir.is_some(),
        }
    }

    pub fn nav(&self) -> Vec<NavEntry> {
        let mut entries = vec![("dags", "/", "Dags")];
        if self.dashboard {
            entries.push(("dashboard", "/dashboard", "Dashboard"));
        }
        entries.extend([
            ("services", "/services", "Services"),
            ("checks", "/checks", "Checks"),
            ("lineage", "/lineage", "Assets"),
            ("backfills", "/backfills", "Backfills"),
            ("approvals", "/approvals", "Approvals"),
            ("pools", "/pools", "Pools"),
            ("audit", "/audit", "Audit"),
            ("health", "/health", "Health"),
        ]);
        entries
    }

    pub fn role(&self) -> &'static str {
        crate::auth::role_name(self.viewer.role)
    }

    pub fn may_write(&self) -> bool {
        self.viewer.may(Role::Operator)
    }
}
