"""A thin layer over the interfaces of wit/, which componentize-py makes available as `wit_world`. Change it as you like."""
