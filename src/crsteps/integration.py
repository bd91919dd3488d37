"""Entry point of stpipe's step discovery: imports nothing, because every ``strun`` runs it."""


def get_steps():
    """
    List the steps and pipelines of this package for stpipe.

    Returns
    -------
    list of tuple
        ``(class, alias, is_pipeline)``: the dotted class name, the alias for ``strun`` and
        whether it is a pipeline.
    """
    return [
        ("crsteps.mm_cosmic.step.MMCosmicStep", "mm_cosmic", False),
        ("crsteps.flicker_noise.step.SceneFlickerNoiseStep", "scene_flicker_noise", False),
        ("crsteps.slew_dark.step.SlewDarkCosmicsStep", "slew_dark_cosmics", False),
        ("crsteps.persistence.step.PowerLawPersistenceStep", "powerlaw_persistence", False),
        ("crsteps.persistence.fit_step.FitPersistenceStep", "fit_powerlaw_persistence", False),
        ("crsteps.pipelines.detector1.CrstepsDetector1Pipeline", "crsteps_detector1", True),
        ("crsteps.pipelines.image3.CrstepsImage3Pipeline", "crsteps_image3", True),
        ("crsteps.pipelines.spec3.CrstepsSpec3Pipeline", "crsteps_spec3", True),
        ("crsteps.pipelines.slew_dark.SlewDarkPipeline", "slew_dark", True),
    ]
