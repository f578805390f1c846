//! A node: catalogue, placement, effects, links
