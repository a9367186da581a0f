//! Ages of secrets, and how long certificates last.

use prometheus_client::registry::Unit;

use super::encode::{About, Page, labelled};
use super::{Moment, Written};

impl Moment {
    pub(super) fn secrets(&self, page: &mut Page<'_>) -> Written {
        let secrets = &self.figures.secrets;
        for (name, help, ages) in [
            ("secret_age", "How long a secret has been in force", &secrets.ages),
            (
                "secret_read_age",
                "Time since the files of a secret were read and could be used",
                &secrets.read_ages,
            ),
        ] {
            page.gauge(
                About::of(name, help).unit(Unit::Seconds),
                ages.iter().map(|(whose, age)| (labelled([("secret", *whose)]), age.as_secs_f64())),
            )?;
        }
        page.single(
            "redis_credentials_refused",
            "Whether a Redis does not accept what is new in the files",
            u64::from(secrets.refused),
        )?;
        page.gauge(
            About::of("certificate_expiry_timestamp", "When a certificate ends")
                .unit(Unit::Seconds),
            secrets
                .certificates
                .iter()
                .map(|(whose, until)| (labelled([("certificate", *whose)]), *until)),
        )
    }
}
