"""What `convert` fits on prepared faces and the manifest carries: calibration, intervals, warnings."""
