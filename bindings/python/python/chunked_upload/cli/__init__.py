"""The command line: tools for a store, a development server that receives files, and a client that sends them.

Needs the extra ``cli``; the package itself never imports it.
"""
