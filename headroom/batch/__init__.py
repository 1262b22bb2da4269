"""Compression of files: conversations in, the same with smaller texts out, every row exactly once.

`plan` cuts the input into chunks; `chunks` does one, whatever it is killed by: its rows appear when all of them are there.
`rows` is what happens to one row. No Ray in here: a loop in one process and Ray Data's actors run the same code.
"""
