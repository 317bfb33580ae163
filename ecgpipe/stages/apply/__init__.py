"""A run's trained model, put to use: the glue between an experiment and `apply_model`.

runs      which run a name or folder means
content   an evaluated run -> what its model needs to answer
"""
