"""English words for made-up papers, by field; the earlier in a list, the commoner."""

from __future__ import annotations

from pagegen.text import barred, spaced

FIELDS: dict[str, dict[str, str]] = {
    "learning": {
        "noun": """model network representation classifier encoder embedding feature layer dataset
            benchmark gradient loss prediction attention decoder sequence sample label baseline
            estimator policy reward kernel graph node mask detector region proposal anchor token
            vocabulary regulariser optimiser batch augmentation ensemble prior posterior""",
        "adj": """deep linear sparse robust convolutional recurrent pretrained supervised latent
            hierarchical discriminative generative stochastic adaptive low-rank multi-scale dense
            bidirectional contrastive self-supervised joint calibrated end-to-end""",
        "act": """training inference fine-tuning classification segmentation regularisation
            pooling sampling normalisation distillation generalisation transfer detection""",
        "unit": """epochs layers images tokens parameters steps classes ms GB""",
        "journal": """Journal of Machine Learning Research|Neural Computation|Pattern Recognition|
            IEEE Trans. Pattern Anal. Mach. Intell.|Machine Learning|Neurocomputing|
            Int. J. Comput. Vis.|Artificial Intelligence""",
    },
    "physics": {
        "noun": """field lattice phonon spectrum potential boson fermion spin coupling symmetry
            operator state temperature phase vortex plasma photon cavity laser polarisation
            conductivity magnetisation Hamiltonian scattering amplitude resonance quasiparticle
            band gap superconductor detector beam flux galaxy halo redshift background""",
        "adj": """thermal quantum magnetic optical coherent elastic nonlinear critical topological
            anisotropic relativistic adiabatic electronic ferromagnetic turbulent radiative
            perturbative low-energy two-dimensional transverse longitudinal spontaneous""",
        "act": """scattering excitation renormalisation tunnelling relaxation condensation emission
            absorption decoherence dispersion propagation screening annihilation""",
        "unit": """K meV nm GHz T mW GeV ps MPa eV""",
        "journal": """Phys. Rev. Lett.|Phys. Rev. B|J. Phys. Condens. Matter|Nucl. Phys. B|
            Eur. Phys. J. C|Astrophys. J.|Opt. Express|New J. Phys.|Rev. Mod. Phys.""",
    },
    "biomedicine": {
        "noun": """cell protein tissue patient expression receptor mutation gene pathway antibody
            tumour cohort biomarker inflammation enzyme membrane dose infection therapy lesion
            serum plasma neuron cortex muscle insulin assay trial survival outcome symptom
            phenotype strain culture genome transcript ligand""",
        "adj": """clinical cellular chronic acute molecular genetic metabolic randomised immune
            cardiovascular placebo-controlled ex-vivo neural hepatic renal pulmonary dietary
            baseline diagnostic pathological age-matched longitudinal""",
        "act": """transcription apoptosis signalling proliferation vaccination treatment diagnosis
            incubation sequencing phosphorylation differentiation migration screening""",
        "unit": """mg mL patients days weeks mmol years cells kDa""",
        "journal": """Lancet|PLoS ONE|J. Clin. Invest.|BMC Public Health|Nature Medicine|
            N. Engl. J. Med.|J. Biol. Chem.|Cell Reports|Br. J. Cancer|Clin. Infect. Dis.""",
    },
    "engineering": {
        "noun": """controller structure load beam actuator sensor vibration alloy fatigue crack
            turbine voltage converter battery electrode bridge soil concrete flow nozzle
            combustion pressure valve damping stiffness bearing torque robot trajectory channel
            antenna signal receiver bandwidth interference circuit grid inverter coating""",
        "adj": """mechanical structural hydraulic electrical axial dynamic composite lateral
            distributed steady-state closed-loop wireless finite-element transient porous welded
            high-frequency seismic reinforced aerodynamic corrosion-resistant""",
        "act": """loading cooling optimisation control machining switching modulation deformation
            calibration monitoring welding lubrication identification filtering""",
        "unit": """kN MPa mm kW Hz rpm dB m s kWh""",
        "journal": """J. Sound Vib.|Automatica|Int. J. Heat Mass Transf.|Eng. Struct.|
            IEEE Trans. Power Electron.|Compos. Struct.|J. Fluid Mech.|Energy Convers. Manag.""",
    },
    "mathematics": {
        "noun": """theorem operator manifold function space norm measure polynomial inequality
            sequence bound eigenvalue matrix equation solution kernel semigroup algebra module
            graph vertex functional domain boundary covering estimate martingale process ideal
            divisor curve bundle category functor filtration""",
        "adj": """compact convex bounded continuous linear elliptic finite smooth positive
            measurable ergodic symmetric hyperbolic nonlinear separable invariant Lipschitz
            self-adjoint weak asymptotic irreducible projective holomorphic""",
        "act": """convergence approximation interpolation integration regularisation embedding
            discretisation factorisation localisation completion truncation""",
        "unit": """nodes iterations points degrees steps elements""",
        "journal": """Ann. of Math.|J. Funct. Anal.|Math. Ann.|SIAM J. Numer. Anal.|Invent. Math.|
            Trans. Amer. Math. Soc.|Duke Math. J.|Numer. Math.|Adv. Math.|J. Algebra""",
    },
    "earth": {
        "noun": """catchment rainfall sediment aquifer ocean glacier basin soil moisture vegetation
            aerosol cloud runoff biomass nitrogen salinity drought warming emission canopy
            isotope fault magma mantle earthquake plume river estuary plankton habitat species
            population landcover precipitation evaporation""",
        "adj": """annual regional tropical seasonal coastal marine atmospheric hydrological
            interannual boreal volcanic climatic temperate monthly satellite-derived surface
            subsurface decadal arid alpine anthropogenic""",
        "act": """erosion deposition transport upwelling subduction warming deforestation
            infiltration weathering assimilation downscaling monitoring sampling""",
        "unit": """km mm years hPa samples sites m ha""",
        "journal": """J. Climate|Water Resour. Res.|Geophys. Res. Lett.|Remote Sens. Environ.|
            Earth Planet. Sci. Lett.|Ecology|Glob. Change Biol.|J. Hydrol.|Atmos. Chem. Phys.""",
    },
}

COMMON_NOUNS = spaced(
    """method result approach analysis value effect number study system problem parameter change
    condition response distribution rate measurement error experiment distance level
    difference structure scheme term set procedure size behaviour group time component
    property range assumption contribution process framework observation signal variable test
    variation limit scale influence property mechanism"""
)
COMMON_ADJS = spaced(
    """large different small significant possible high low similar main recent average
    corresponding total relative strong single proposed initial common additional simple
    general complete previous local consistent typical standard optimal systematic"""
)
VERBS = barred(
    """depends on|increases with|is determined by|leads to|is given by|remains close to|
    differs from|provides|is related to|requires|affects|describes|improves|dominates|
    agrees with|reduces|is compared with|follows from|controls|is limited by|accounts for|
    enhances|captures|is insensitive to|approximates|is characterised by|influences|
    compensates for|reflects|preserves|separates from|is consistent with"""
)
ACTIVE = spaced(
    """consider study introduce present use measure compute evaluate compare find obtain propose
    estimate assume define investigate derive observe report examine analyse extend neglect
    simulate identify select normalise fit verify"""
)
LEADS = barred(
    """However,|In addition,|Moreover,|Therefore,|In this case,|For example,|Furthermore,|
    In contrast,|As expected,|In particular,|Consequently,|Nevertheless,|On the other hand,|
    In practice,|To this end,|Interestingly,|Recently,|By construction,|Overall,|First,|
    Second,|Finally,|Similarly,|At the same time,|Under these conditions,|As a consequence,|
    Note that"""
)
TAILS = barred(
    """in all cases|with high accuracy|at low cost|under the same conditions|in the first group|
    over a wide range of values|up to a constant factor|as in earlier work|on average|
    for most of the samples|near the boundary|in both experiments|within the error bars|
    after a short transient|in agreement with theory|at early times|
    without further assumptions|to leading order|in the present setting|by a factor of two"""
)
SURNAMES = spaced(
    """Smith Wang Müller Garcia Lee Kim Johnson Zhang Brown Tanaka Rossi Singh Novak Chen Martin
    Silva Anderson Ivanov Dubois Sato Kumar Jensen Liu Schmidt Nguyen Ali Costa Murphy
    Peterson Yamamoto Kowalski Haddad Fischer Lopez Evans Svensson Bauer Gupta Moreau Carter
    Park Wilson Hansen Rahman Petrov Campbell Romano Becker Virtanen Okafor Ferrari Clarke
    Horvat Lindgren Mehta Takahashi Dijk O'Brien Weiss Papadopoulos Duarte Eriksson"""
)
GIVEN = spaced(
    """Anna James Maria Wei Thomas Elena David Yuki Carlos Sarah Peter Li Ahmed Laura Michael
    Ingrid Pierre Hana John Sofia Daniel Mei Robert Olga Lucas Priya Stefan Emma Hiroshi Paul
    Fatima George Nina Victor Julia Marco Kate Henrik Diego Alice"""
)
CITIES = spaced(
    """Cambridge Tokyo Munich Madrid Toronto Beijing Milan Uppsala Boston Sydney Prague Lyon
    Seoul Delft Vienna Oslo Warsaw Zürich Lisbon Chicago Nanjing Edinburgh Leuven Haifa
    Bangalore Helsinki Dublin Montreal Osaka Turin"""
)
COUNTRIES = spaced(
    """UK Japan Germany Spain Canada China Italy Sweden USA Australia France Korea Austria
    Norway Poland Switzerland Portugal India Finland Ireland Denmark Brazil"""
)
DEPARTMENTS = barred(
    """Department of Physics|Institute of Mathematics|School of Engineering|Faculty of Medicine|
    Department of Computer Science|Centre for Earth Sciences|Department of Statistics|
    Laboratory of Applied Optics|School of Biological Sciences|
    Department of Materials Science|Institute for Advanced Study|Department of Chemistry"""
)
PUBLISHERS = ["Springer", "Elsevier", "Cambridge University Press", "Wiley", "Oxford Univ. Press"]
SECTIONS = barred(
    """Introduction|Methods|Results|Discussion|Conclusions|Related work|Experiments|
    Materials and methods|Preliminaries|Results and discussion|Background|Theory|Data|
    Experimental setup|Numerical examples|Acknowledgements|Proof of the main result|
    Concluding remarks|Statistical analysis|Model description|Limitations|Future work"""
)
MATHS = barred(
    """alpha|beta_i|x_i|sigma^2|lambda|n|k|T_0|phi(x)|epsilon|p < 0.05|N = 128|x in RR^d|
    delta_(i j)|tau|mu|R^2|theta|f(x)|Delta t|i = 1, dots, n|z^*|chi^2|kappa|L_2|O(n log n)|
    rho|omega_0|a_1|y_t|P(A)|Gamma|q^2|norm(x)_2|gamma|Omega|k = 3|sqrt(n)|hat(x)|v_max|
    t >= 0|E[X]|nabla f|m_e|psi_n"""
)
ITEM_VERBS = spaced("""Compute Update Select Choose Measure Check Remove Repeat Set Store""")
