// Binary trees, for gcbench and binary_trees.
#pragma once

#include <cstdint>

#include "workloads/backends/heap_backend.h"

namespace keel {

inline uint64_t tree_size(uint64_t depth) { return (uint64_t{2} << depth) - 1; }

/// Bottom-up: children before their parent.
template <typename B, typename Node>
typename B::template Local<Node> make_tree(uint64_t depth) {
  if (depth == 0) return B::template make<Node>();
  typename B::template Local<Node> left = make_tree<B, Node>(depth - 1);
  typename B::template Local<Node> right = make_tree<B, Node>(depth - 1);
  typename B::template Local<Node> node = B::template make<Node>();
  node->left = static_cast<Node*>(left);
  node->right = static_cast<Node*>(right);
  return node;
}

/// make_tree(), cut short: a subtree is a leaf once `next()`, asked before each node, says false.
template <typename B, typename Node, typename Next>
typename B::template Local<Node> make_tree_while(uint64_t depth, Next&& next) {
  if (!next() || depth == 0) return B::template make<Node>();
  typename B::template Local<Node> left = make_tree_while<B, Node>(depth - 1, next);
  typename B::template Local<Node> right = make_tree_while<B, Node>(depth - 1, next);
  typename B::template Local<Node> node = B::template make<Node>();
  node->left = static_cast<Node*>(left);
  node->right = static_cast<Node*>(right);
  return node;
}

/// Top-down, below a node that the caller keeps.
template <typename B, typename Node>
void populate(Node* node, uint64_t depth) {
  if (depth == 0) return;
  node->left = B::template make<Node>();
  node->right = B::template make<Node>();
  populate<B, Node>(node->left.get(), depth - 1);
  populate<B, Node>(node->right.get(), depth - 1);
}

template <typename Node>
uint64_t count_nodes(const Node* node) {
  if (node->left.get() == nullptr) return 1;
  return 1 + count_nodes(node->left.get()) + count_nodes(node->right.get());
}

template <typename B, typename Node>
void release_tree(Node* node) {
  if constexpr (B::kFrees) {
    if (node == nullptr) return;
    release_tree<B>(node->left.get());
    release_tree<B>(node->right.get());
    B::release(node);
  }
}

}  // namespace keel
