//! Short names -> absolute names.

use hickory_resolver::system_conf::read_system_conf;

/// How short names are completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The domains to try, in this order, without dots at their ends.
    pub domains: Vec<String>,
    /// A name with at least this many dots is tried as it is first.
    pub ndots: usize,
}

impl Search {
    /// What `/etc/resolv.conf` says; nothing to complete with where it cannot be read.
    pub fn system() -> Search {
        let Ok((config, options)) = read_system_conf() else {
            return Search { domains: Vec::new(), ndots: 1 };
        };
        let domain = |name: &hickory_resolver::proto::rr::Name| {
            name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
        };
        let domains =
            config.search().iter().map(domain).filter(|domain| !domain.is_empty()).collect();
        Search { domains, ndots: options.ndots }
    }
}

/// The absolute name, with its dot, that a service most likely means.
///
/// Decided from the name and the search list alone, so that hives of one namespace agree on it
/// whatever DNS answers: it is the name of the hive. The same candidate is asked first.
pub fn absolute_name(service: &str, search: &Search) -> String {
    candidates(service, search).swap_remove(0)
}

/// All that a service name may mean, likeliest first; never empty, all absolute, at most 8.
///
/// A name that reads `SERVICE.NAMESPACE.svc.…` is the likeliest; then comes the resolver's order.
pub(super) fn candidates(service: &str, search: &Search) -> Vec<String> {
    let service = service.to_ascii_lowercase();
    if service.ends_with('.') {
        return vec![service];
    }
    let whole = format!("{service}.");
    let completed = search.domains.iter().map(|domain| format!("{service}.{domain}."));
    let mut all: Vec<String> = completed.take(7).collect();
    if service.matches('.').count() >= search.ndots.max(1) {
        all.insert(0, whole);
    } else {
        all.push(whole);
    }
    // Stable: equals keep their order. Of two Services' names the shorter has nothing put on twice.
    all.sort_by_key(|name| if names_a_service(name) { (0, name.len()) } else { (1, 0) });
    let mut seen = Vec::new();
    all.retain(|name| {
        let new = !seen.contains(name);
        seen.push(name.clone());
        new && name.len() <= 254
    });
    if all.is_empty() { vec![format!("{service}.")] } else { all }
}

/// Whether this looks like a Service's name in a Kubernetes cluster.
fn names_a_service(absolute: &str) -> bool {
    let labels: Vec<&str> = absolute.trim_end_matches('.').split('.').collect();
    let marks = labels.iter().filter(|label| **label == "svc").count();
    labels.len() > 3 && labels.get(2) == Some(&"svc") && marks == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Search {
        let domains = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];
        Search { domains: domains.map(str::to_owned).to_vec(), ndots: 5 }
    }

    #[test]
    fn every_way_to_write_a_service_gives_the_same_name() {
        for given in [
            "redis",
            "REDIS",
            "redis.shop",
            "redis.shop.svc",
            "redis.shop.svc.cluster.local",
            "redis.shop.svc.cluster.local.",
        ] {
            let name = absolute_name(given, &cluster());
            assert_eq!(name, "redis.shop.svc.cluster.local.", "{given}");
        }
    }

    #[test]
    fn outside_a_cluster_the_resolver_s_order_counts() {
        let office = Search { domains: vec!["example.org".to_owned()], ndots: 1 };
        assert_eq!(candidates("redis", &office), ["redis.example.org.", "redis."]);
        assert_eq!(candidates("a.b", &office), ["a.b.", "a.b.example.org."]);
        assert_eq!(candidates("redis", &Search::default()), ["redis."]);
        assert_eq!(candidates("redis.", &office), ["redis."]);
    }
}
