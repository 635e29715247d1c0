"""The tables and figures of the source papers: what was claimed, the studies that repeat it, and what comes out, side by side.

`table` reads a table's file, `rule` says when a claim is reproduced, `runs` takes its studies through `studies.study`, `result` reads
their ledgers, and `page` writes what was run into a page.
"""
