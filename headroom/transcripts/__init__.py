"""What agents have written down of their conversations, turned back into the requests that they made.

`read` finds and reads files of every known kind; `replay` sends their requests through the application, in
memory; `bill` says what a provider with a prompt cache asks for them; `figures` adds up. Nothing leaves the machine.
"""
