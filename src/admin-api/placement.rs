//! Emptying a node, and taking it out of its cluster.

use serde::{Deserialize, Serialize};

/// `PUT /admin/v1/draining`, asked of any node that serves: another node is to be emptied, or to have its share again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Whether it is to be emptied.
    pub draining: bool,
}

/// `DELETE /admin/v1/nodes`, asked of any node that serves: another node, which was emptied, is none any more. It must be
/// stopped then, and never be started again with the data that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRemoval {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
}
