"""How much of everything an organisation needs: measured costs of a request, Ray Serve's rules, and a simulation of both together.

`costs` is the table that a benchmark measured, `load` what people ask for, `rules` how Serve adds and removes replicas, `tier` one
deployment in simulated time, `simulation` an hour of all of them with a node that dies, `plan` what it comes to. No Ray in here.
"""
