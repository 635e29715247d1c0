"""Running a study on Ray Tune: the trainable, the searcher adapter, the driver. The only room that knows Ray."""
