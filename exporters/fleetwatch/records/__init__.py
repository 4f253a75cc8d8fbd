"""The facts that flow: immutable records, no behaviour."""
