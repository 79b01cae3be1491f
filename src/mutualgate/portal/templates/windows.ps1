<#
Asks Windows for a key, has your invitation certify it, and puts the certificate where browsers and programs look for it.
Read it before you run it, in PowerShell (no administrator is needed):

    powershell -ExecutionPolicy Bypass -File .\windows.ps1

The key is made by Windows for your account, in the TPM chip where that works, and cannot be exported: it never leaves
this computer. If the script was interrupted, or an operator has to approve, run it again.

-TrustRoot also trusts the root that signs this site's own certificate, for your account alone; Windows asks you first.
Without it nothing is trusted that was not trusted before.
#>
[CmdletBinding()]
param([switch] $TrustRoot)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$link = @LINK@
$base = @BASE@
$label = @LABEL@
$secondCode = @SECOND@
$rootText = @ROOT@

[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

function Add-ToStore([string] $name, [Security.Cryptography.X509Certificates.X509Certificate2] $certificate) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store($name, 'CurrentUser')
    $store.Open('ReadWrite')
    try { $store.Add($certificate) } finally { $store.Close() }
}

function ConvertTo-Certificate([string] $text) {
    return New-Object Security.Cryptography.X509Certificates.X509Certificate2(, [Convert]::FromBase64String($text))
}

# What the gate answers; what it refuses in its own words.
function Invoke-Gate([hashtable] $request) {
    try { return Invoke-RestMethod @request }
    catch {
        $problem = $_
        $body = if ($problem.ErrorDetails) { $problem.ErrorDetails.Message } else { '' }
        try { $said = $body | ConvertFrom-Json } catch { $said = $null }
        if ($said -and $said.PSObject.Properties['title']) {
            $fix = if ($said.PSObject.Properties['fix']) { $said.fix } else { '' }
            throw "$($said.title) $fix"
        }
        throw "$base does not answer, or its certificate is not trusted here (then add -TrustRoot): $($problem.Exception.Message)"
    }
}

if ($TrustRoot -and $rootText) {
    Add-ToStore 'Root' (ConvertTo-Certificate $rootText)
}

# 1. Has it been used already, by a run before this one?
$json = @{ Accept = 'application/json' }
$answer = Invoke-Gate @{ Uri = "$link/chain"; Headers = $json }

$folder = Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid().ToString())
New-Item -ItemType Directory -Path $folder | Out-Null
try {
    if (-not $answer.waiting -and -not ($answer.PSObject.Properties.Name -contains 'chain')) {
        # 2. The key and a request for it. The TPM first; Windows' own store where there is none, or an old one.
        $requestFile = Join-Path $folder 'request.pem'
        $infFile = Join-Path $folder 'request.inf'
        $made = $false
        foreach ($provider in 'Microsoft Platform Crypto Provider', 'Microsoft Software Key Storage Provider') {
            $inf = @'
@INF@
'@
            Set-Content -Path $infFile -Value $inf.Replace('PROVIDER', $provider) -Encoding ASCII
            & certreq.exe -new -q -f -user $infFile $requestFile | Out-Null
            if ($LASTEXITCODE -eq 0) {
                Write-Host "The key was made by: $provider"
                $made = $true
                break
            }
        }
        if (-not $made) { throw 'Windows made no key: certreq.exe failed.' }

        # 3. The certificate. The request proves that the key is here; the name comes from the invitation.
        if ($secondCode) { $json['Second-Factor'] = (Read-Host 'Second code').Trim() }
        $answer = Invoke-Gate @{
            Method = 'Post'; Uri = "$link/windows"; Headers = $json
            ContentType = 'application/pkcs10'; InFile = $requestFile
        }
    }
    if ($answer.waiting) {
        Write-Host 'It is handed in. An operator has to approve it: run this again later.'
        exit 1
    }

    # 4. Into the stores: what is above it among the intermediates, and the certificate to its key.
    # Not certreq -accept, which demands that the root be trusted: that is not needed for a client's certificate.
    $leaf, $above = $answer.chain
    foreach ($one in @($above)) {
        if ($one) { Add-ToStore 'CA' (ConvertTo-Certificate $one) }
    }
    $enrollment = New-Object -ComObject X509Enrollment.CX509Enrollment
    $enrollment.Initialize(1) # ContextUser
    $enrollment.InstallResponse(6, $leaf, 1, '') # AllowUntrustedCertificate and AllowUntrustedRoot; base64

    $certificate = ConvertTo-Certificate $leaf
    $kept = Get-Item -Path "Cert:\CurrentUser\My\$($certificate.Thumbprint)"
    $kept.FriendlyName = $label
    Write-Host "Done: $($certificate.Subject), until $($certificate.NotAfter.ToString('yyyy-MM-dd'))."
    Write-Host "Close all windows of the browser and open $base/me"
}
finally {
    Remove-Item -Recurse -Force -Path $folder
}
