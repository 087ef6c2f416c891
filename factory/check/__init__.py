"""The rules, one module per subject, each rule with a code."""
