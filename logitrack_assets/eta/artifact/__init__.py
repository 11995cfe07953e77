"""The published model: inert files in one folder, and the predictor that reads them. Imports light."""
